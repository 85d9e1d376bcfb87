import { render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import Login from '../../../src/pages/Login.svelte';
import { locale } from '../../../src/i18n/locale.svelte';
import { FakeMaster } from '../../fakes';

let master: FakeMaster;

beforeEach(() => {
  master = new FakeMaster();
  locale.choose('en');
});

describe('signing in', () => {
  const signIn = async (): Promise<void> => {
    await userEvent.type(screen.getByLabelText('User name'), 'kim');
    await userEvent.type(screen.getByLabelText('Password'), 'secret{Enter}');
  };

  it('opens the page of the role', async () => {
    master.responses['POST /api/login'] = { user: { id: 'u1', name: 'Kim', role: 'admin' } };
    const go = vi.fn<(path: string) => void>();
    history.replaceState(null, '', '/login');
    render(Login, { go });
    await signIn();
    await vi.waitFor(() => expect(go).toHaveBeenCalledWith('/admin'));
  });

  it('shows the error and keeps the name', async () => {
    master.responses['POST /api/login'] = [401, 'not-signed-in'];
    history.replaceState(null, '', '/login');
    render(Login, { go: () => undefined });
    await signIn();
    expect(await screen.findByText('User name or password is not right.')).toBeVisible();
    expect(screen.getByLabelText('User name')).toHaveValue('kim');
  });

  it('uses a sign-in link once and removes it from the URL', async () => {
    master.responses['POST /api/login'] = [401, 'not-signed-in'];
    history.replaceState(null, '', '/login#link=abc&next=/teach');
    render(Login, { go: () => undefined });
    expect(location.hash).toBe('');
    expect(await screen.findByText(/This link was used already/)).toBeVisible();
  });
});
