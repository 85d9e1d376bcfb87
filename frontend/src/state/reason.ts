// Why a node is not at work, in the page's language: the master says it as a code with figures, and in
// English for logs. A code that is missing here does not compile.
import type { ClusterNode, ReasonCode } from '../api/types';
import { ta, type AdminKey } from '../i18n/admin';

const WORDS: Record<Exclude<ReasonCode, ''>, AdminKey> = {
  new: 'whyNew', silent: 'whySilent', unreachable: 'whyUnreachable', 'not-ready': 'whyNotReady', 'no-ingest': 'whyNoIngest',
  'slow-ingest': 'whySlowIngest', 'bad-ingest': 'whyBadIngest', watched: 'whyWatched', returning: 'whyReturning', draining: 'whyDraining',
};
/** Here the master's sentence is what the node itself has told: more exact than any code. */
const IN_ITS_OWN_WORDS: ReasonCode[] = ['not-ready', 'no-ingest', 'slow-ingest', 'bad-ingest'];

export interface Why {
  text: string;
  /** The node's own words, always English; empty where they would add nothing. */
  detail: string;
}

export function why({ reason = '', reason_code = '', reason_figures = {} }: ClusterNode): Why {
  const key = reason_code === '' ? undefined : WORDS[reason_code];
  // A newer master may know more codes than this page.
  if (key === undefined) return { text: reason, detail: '' };
  return { text: ta(key, reason_figures), detail: IN_ITS_OWN_WORDS.includes(reason_code) ? reason : '' };
}
