// Why a node gets no students, in the language of the page. The master sends a code with figures, and an
// English sentence for logs. A code without a translation is a type error.
import type { ClusterNode, ReasonCode } from '../api/types';
import { ta, type AdminKey } from '../i18n/admin';

const LABELS: Record<Exclude<ReasonCode, ''>, AdminKey> = {
  new: 'whyNew',
  silent: 'whySilent',
  unreachable: 'whyUnreachable',
  'not-ready': 'whyNotReady',
  'no-ingest': 'whyNoIngest',
  'slow-ingest': 'whySlowIngest',
  'bad-ingest': 'whyBadIngest',
  watched: 'whyWatched',
  returning: 'whyReturning',
  draining: 'whyDraining',
};
/** With these codes the master's sentence quotes the node's own report, which is more precise. */
const WITH_DETAIL: ReasonCode[] = ['not-ready', 'no-ingest', 'slow-ingest', 'bad-ingest'];

export interface NodeReason {
  text: string;
  /** The node's own report, always in English; empty if it adds nothing. */
  detail: string;
}

export function nodeReason({ reason = '', reason_code = '', reason_figures = {} }: ClusterNode): NodeReason {
  const key = reason_code === '' ? undefined : LABELS[reason_code];
  // A newer master may send a code that this page does not know.
  if (key === undefined) return { text: reason, detail: '' };
  return { text: ta(key, reason_figures), detail: WITH_DETAIL.includes(reason_code) ? reason : '' };
}
