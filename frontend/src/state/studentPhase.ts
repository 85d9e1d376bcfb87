/** The steps of a student's visit; StudentSession moves between them. */
export type StudentPhase =
  | 'code'
  | 'name'
  | 'password'
  | 'joining'
  | 'closed' // this and the next three are retried automatically
  | 'full'
  | 'too-many'
  | 'unreachable'
  | 'class' // joined: see `stream`
  | 'ended'
  | 'kicked';

/** Why the last input was rejected. */
export type InputProblem = 'unknown-code' | 'wrong-password' | 'invalid' | 'not-listed';

/** Figures of the player for the master, sent with each ping. */
export interface PlayerReport {
  latency_ms: number;
  buffer_ms: number;
  stalls: number;
}
