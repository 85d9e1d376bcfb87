/** The classroom code in a path like /join/K7QF, or an empty string. */
export function codeFromPath(path: string): string {
  const found = /^\/join\/([^/]+)\/?$/.exec(path)?.[1];
  if (found === undefined) return '';
  try {
    return decodeURIComponent(found);
  } catch {
    return ''; // an invalid % escape in a mistyped link
  }
}

/** A code without spaces and dashes, in capital letters. */
export function normalizeCode(code: string): string {
  return code.toUpperCase().replace(/[^0-9A-Z]/g, '');
}
