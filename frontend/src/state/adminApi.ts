// API requests of the dashboard that keep no state (components may import from state, not from api).
import { ApiError } from '../api/client';
import { testAlert } from '../api/cluster';

export { getBackup, getSettings, listAllEvents } from '../api/cluster';

/** Send a test alert: `null` without a webhook, else why it did not go out, empty when it did. */
export async function sendTestAlert(): Promise<string | null> {
  try {
    return (await testAlert()).problem;
  } catch (error) {
    if (error instanceof ApiError && error.slug === 'no-webhook') return null;
    throw error;
  }
}
