import { readStored, writeStored } from './deviceStorage';
import { randomId } from './randomId';

/** A random number that this browser keeps, so that a teacher can keep one device out of a class. */
export function deviceId(): string {
  const known = readStored('device');
  if (known !== null) return known;
  const created = randomId();
  writeStored('device', created);
  return created;
}
