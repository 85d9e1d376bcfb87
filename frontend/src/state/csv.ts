// A table as a CSV file that Excel and Sheets open without damage.

const BYTE_ORDER_MARK = '\uFEFF'; // without it, Excel reads Korean as Latin letters
const FORMULA = /^[\s]*[=+\-@\t\r]/;

/** Rows as CSV; a cell that a spreadsheet would run as a formula becomes text. */
export function toCsv(rows: string[][]): string {
  return BYTE_ORDER_MARK + rows.map((row) => row.map(quote).join(',') + '\r\n').join('');
}

function quote(cell: string): string {
  const harmless = FORMULA.test(cell) ? `'${cell}` : cell;
  return `"${harmless.replaceAll('"', '""')}"`;
}

/** Offer a text as a file to save. */
export function saveFile(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 0);
}
