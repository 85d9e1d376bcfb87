/** Something that is asked before it is done. */
export interface Question {
  title: string;
  text: string;
  action: string;
  danger?: boolean;
  yes: () => void;
}
