/** Keep the screen on. Returns a function that releases the lock. Does nothing without HTTPS. */
export async function requestWakeLock(): Promise<() => void> {
  if (!('wakeLock' in navigator)) return () => undefined;
  try {
    const lock = await navigator.wakeLock.request('screen');
    return () => void lock.release();
  } catch {
    return () => undefined;
  }
}
