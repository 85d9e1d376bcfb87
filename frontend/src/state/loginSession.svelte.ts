// The signed-in user of the teacher's page and the dashboard.
import { ApiError } from '../api/client';
import { currentUser, login, loginByLink, logout } from '../api/login';
import type { User } from '../api/types';

export class LoginSession {
  user = $state.raw<User | null>(null);

  /** Load the signed-in user, or open the sign-in page, which leads back to `here`. */
  async require(here: '/teach' | '/admin'): Promise<boolean> {
    for (;;) {
      try {
        this.user = await currentUser();
        return true;
      } catch (error) {
        if (error instanceof ApiError && error.slug !== 'offline' && error.status < 500) {
          location.replace(`/login#next=${here}`);
          return false;
        }
        await new Promise((resolve) => setTimeout(resolve, 2000));
      }
    }
  }

  async signIn(username: string, password: string): Promise<void> {
    this.user = await login(username, password);
  }

  async signInByLink(token: string): Promise<void> {
    this.user = await loginByLink(token);
  }

  async signOut(): Promise<void> {
    await logout().catch(() => undefined);
    location.replace('/login');
  }
}
