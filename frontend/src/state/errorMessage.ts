import { ApiError, type Slug } from '../api/client';
import { tc } from '../i18n/common';

/** One sentence about a failed request, in the language of the page. */
export function errorMessage(error: unknown): string {
  if (!(error instanceof ApiError)) return tc('errorFailed');
  const sentences: Partial<Record<Slug, string>> = {
    offline: tc('errorOffline'),
    forbidden: tc('errorForbidden'),
    'not-found': tc('errorNotFound'),
    'not-signed-in': tc('errorSignedOut'),
    'too-many-tries': tc('errorTooMany', { n: error.retryAfterS ?? 30 }),
    invalid: tc('errorInvalid'),
    conflict: tc('errorConflict'),
    'last-admin': tc('errorLastAdmin'),
    'node-at-work': tc('errorNodeAtWork'),
    'last-node': tc('errorLastNode'),
  };
  return sentences[error.slug] ?? tc('errorFailed');
}
