// Why a node gets no students, in the language of the page. The master sends a code with figures, and an
// English sentence for logs. A code without a translation is a type error.
import type { Classroom, ClusterNode, ReasonCode } from '../api/types';
import { ta, type AdminKey } from '../i18n/admin';

const LABELS: Record<Exclude<ReasonCode, ''>, AdminKey> = {
  new: 'whyNew',
  silent: 'whySilent',
  unreachable: 'whyUnreachable',
  'not-ready': 'whyNotReady',
  'no-ingest': 'whyNoIngest',
  'slow-ingest': 'whySlowIngest',
  'bad-ingest': 'whyBadIngest',
  behind: 'whyBehind',
  watched: 'whyWatched',
  returning: 'whyReturning',
  draining: 'whyDraining',
  keeping: 'whyKeeping',
  partly: 'whyPartly',
  suspect: 'whySuspect',
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

const STREAMS_SHOWN = 5;

/** One sentence for each class that a node does not get; a class that is not live may well be unknown. */
export function streamProblems({ streams = [] }: ClusterNode, classrooms: Classroom[]): string[] {
  const problems: string[] = [];
  for (const { stream, state, age_s, reason, reason_code, avoided } of streams) {
    const classroom = classrooms.find(({ id }) => id === stream);
    const figures = { name: classroom?.name ?? stream, n: Math.round(age_s) };
    if (state === 'failed') {
      const key = reason_code === '' ? undefined : LABELS[reason_code];
      const why = key === undefined ? reason : ta(key);
      problems.push(ta(avoided ? 'streamAvoided' : 'streamFailed', { ...figures, why }));
    } else if (state === 'unknown' && classroom?.state === 'live') {
      problems.push(ta('streamUnknown', figures));
    }
  }
  const more = problems.length - STREAMS_SHOWN;
  return more > 0 ? [...problems.slice(0, STREAMS_SHOWN), ta('streamsMore', { n: more })] : problems;
}
