/** Keep the screen on. Returns a function that releases the lock. Does nothing without HTTPS. */
async function requestWakeLock(): Promise<() => void> {
  if (!('wakeLock' in navigator)) return () => undefined;
  try {
    const lock = await navigator.wakeLock.request('screen');
    return () => void lock.release();
  } catch {
    return () => undefined;
  }
}

/** Keep the screen on until the returned function is called; a hidden tab loses its lock. */
export function holdWakeLock(): () => void {
  let release = requestWakeLock();
  const renew = (): void => {
    if (document.visibilityState === 'visible') release = requestWakeLock();
  };
  document.addEventListener('visibilitychange', renew);
  return () => {
    document.removeEventListener('visibilitychange', renew);
    void release.then((unlock) => unlock());
  };
}
