// Numbers and times in the language of the page.
import { locale } from './i18n/locale.svelte';

export function clock(at: string | number | Date): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return '–';
  return new Intl.DateTimeFormat(locale.lang, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  }).format(date);
}

export const hourAndMinute = (at: string | number | Date): string => clock(at).slice(0, 5);

/** Labels of a time axis, with seconds if the marks are less than a minute apart. */
export function clockMarks(at_s: number[], every_s: number): string[] {
  return at_s.map((s) => (every_s < 60 ? clock(s * 1000) : hourAndMinute(s * 1000)));
}

export function dayAndClock(at: string): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return '–';
  return new Intl.DateTimeFormat(locale.lang, {
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).format(date);
}

export function whole(value: number): string {
  return new Intl.NumberFormat(locale.lang, { maximumFractionDigits: 0 }).format(value);
}

export function tenth(value: number): string {
  return new Intl.NumberFormat(locale.lang, { maximumFractionDigits: 1, minimumFractionDigits: 1 }).format(
    value,
  );
}

/** Split a URL at the places where a long line may break. */
export const splitAtBreaks = (url: string): string[] => url.match(/:?[^/:.?=&]+[/.?=&]*|[/:.?=&]+/g) ?? [];

/** Bytes as MB with one decimal. */
export const megabytes = (bytes: number): string => tenth(bytes / 1_000_000);

/** Bits per second as Mbit/s with one decimal. */
export const mbps = (bps: number): string => tenth(bps / 1_000_000);
