/** Replace the token in a URL of a relay (path segment) or the master (query parameter). */
export function withToken(url: string, token: string): string {
  const inPath = url.replace(/\/t\/[^/?#]+\//, () => `/t/${token}/`);
  if (inPath !== url) return inPath;
  return url.replace(/([?&]token=)[^&#]*/, (_, name: string) => name + encodeURIComponent(token));
}
