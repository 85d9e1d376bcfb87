// Calls of the operator's pages that need no state of their own.
export { getBackup, getSettings } from '../api/cluster';
