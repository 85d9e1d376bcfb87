// Who is signed in, for the pages that need somebody.
import { ApiError, type Slug } from '../api/client';
import { login, loginByLink, logout, me } from '../api/session';
import type { User } from '../api/types';
import { tc } from '../i18n/common';

export class Session {
  user = $state.raw<User | null>(null);

  /** Find out who is signed in, or go to the sign-in page and come back to `here`. */
  async require(here: '/teach' | '/admin'): Promise<boolean> {
    for (;;) {
      try {
        this.user = await me();
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

/** One sentence for a person about a refused call. */
export function explain(error: unknown): string {
  if (!(error instanceof ApiError)) return tc('errorFailed');
  const sentences: Partial<Record<Slug, string>> = {
    offline: tc('errorOffline'),
    forbidden: tc('errorForbidden'),
    'not-found': tc('errorNotFound'),
    'not-signed-in': tc('errorSignedOut'),
    'too-many-tries': tc('errorTooMany', { n: error.retryAfterS ?? 30 }),
    invalid: tc('errorInvalid'),
    conflict: tc('errorConflict'),
    'last-admin': tc('errorLastAdmin'),
    'node-at-work': tc('errorNodeAtWork'),
  };
  return sentences[error.slug] ?? tc('errorFailed');
}
