// API requests of the dashboard that keep no state (components may import from state, not from api).
export { getBackup, getSettings } from '../api/cluster';
