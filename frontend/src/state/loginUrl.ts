/** The one-time token and the redirect path that a sign-in link carries in its fragment. */
export function parseLoginLink(hash: string): { token: string | null; next: string | null } {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  return { token: fields.get('link'), next: fields.get('next') };
}

/** The page to open after signing in. Only our own pages are accepted, to prevent an open redirect. */
export function safeRedirectPath(next: string | null, role: string): '/teach' | '/admin' {
  if (next === '/teach' || next === '/admin') return next;
  return role === 'admin' || role === 'monitor' ? '/admin' : '/teach';
}
