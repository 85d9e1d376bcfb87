/** The class code in an address like /join/K7QF, or an empty string. */
export function codeFromPath(path: string): string {
  const found = /^\/join\/([^/]+)\/?$/.exec(path)?.[1];
  if (found === undefined) return '';
  try {
    return decodeURIComponent(found);
  } catch {
    return ''; // a broken % escape in a mistyped link
  }
}

/** What a login link carries after `#`: the one-time token and where to go then. */
export function loginLink(hash: string): { token: string | null; next: string | null } {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  return { token: fields.get('link'), next: fields.get('next') };
}

/** Only pages of ours are a place to go after signing in: anything else would be an open redirect. */
export function safeNext(next: string | null, role: string): '/teach' | '/admin' {
  if (next === '/teach' || next === '/admin') return next;
  return role === 'admin' || role === 'monitor' ? '/admin' : '/teach';
}
