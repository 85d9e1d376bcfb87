/** An action that the user has to confirm. */
export interface Confirmation {
  title: string;
  text: string;
  /** Label of the button that confirms. */
  action: string;
  danger?: boolean;
  /** Label of a checkbox; whether it is checked goes to `onConfirm`. */
  option?: string;
  onConfirm: (optionChecked: boolean) => void;
}
