// All relays of a class list the same names: what one of them no longer gives can be had from another.

/** The folder of an address, with the slash at its end. */
export function folderOf(url: string): string {
  const [path = ''] = url.split(/[?#]/, 1);
  return path.slice(0, path.lastIndexOf('/') + 1);
}

/** The same object at the relay that is played from now (`here`), if the address is that of another of `folders`. */
export function atRelay(url: string, folders: readonly string[], here: string): string {
  const folder = folderOf(url);
  if (folder === here || !folders.includes(folder) || !folders.includes(here)) return url;
  return here + url.slice(folder.length);
}
