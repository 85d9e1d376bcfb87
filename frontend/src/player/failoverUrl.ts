// All relays of a classroom serve the same file names, so a file that one relay fails to serve can be loaded
// from another.

/** The URL without its last path segment, query and fragment; it ends with a slash. */
export function baseUrl(url: string): string {
  const [path = ''] = url.split(/[?#]/, 1);
  return path.slice(0, path.lastIndexOf('/') + 1);
}

/** The URL of the same file at the `current` relay, if `url` is at another relay of `relays` (base URLs). */
export function failoverUrl(url: string, relays: readonly string[], current: string): string {
  const base = baseUrl(url);
  if (base === current || !relays.includes(base) || !relays.includes(current)) return url;
  return current + url.slice(base.length);
}
