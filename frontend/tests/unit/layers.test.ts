// Arrows: pages → components → state → api | player → types. And one file alone knows hls.js.
import { describe, expect, it } from 'vitest';

const sources = import.meta.glob<string>('../../src/**/*.{ts,svelte}', { query: '?raw', import: 'default', eager: true });
const files = Object.entries(sources).filter(([path]) => !path.endsWith('.d.ts')).map(([path, text]) => ({ name: path.replace('../../src/', ''), text }));

/** What a file imports to run; types alone are no dependency. */
function imports(text: string): string[] {
  const found = text.matchAll(/^\s*(?:import|export)\s+(?!type\b)[^'";]*?from\s+'([^']+)'|import\('([^']+)'\)/gm);
  return Array.from(found, ([, from, lazy]) => from ?? lazy ?? '');
}

const MAY: Record<string, string[]> = {
  pages: ['components', 'state', 'i18n', 'format'],
  components: ['components', 'state', 'i18n', 'format'],
  state: ['state', 'api', 'player', 'i18n'],
  player: ['player'],
  api: ['api'],
};
// Pages tell refusals apart by the class of the error, which belongs to the client.
const ALLOWED = new Set(['pages/Login.svelte ../api/client']);

describe('layers', () => {
  it.each(Object.keys(MAY))('%s', (layer) => {
    const wrong = files
      .filter(({ name }) => name.startsWith(`${layer}/`))
      .flatMap(({ name, text }) => imports(text).map((from) => ({ name, from })))
      .filter(({ name, from }) => from.startsWith('.') && !ALLOWED.has(`${name} ${from}`))
      .filter(({ name, from }) => {
        const target = new URL(from, `http://x/${name}`).pathname.slice(1).split(/[/.]/)[0] ?? '';
        return !(MAY[layer] ?? []).includes(target);
      });
    expect(wrong).toEqual([]);
  });

  it('only one file loads hls.js', () => {
    expect(files.filter(({ text }) => imports(text).some((from) => from.startsWith('hls.js'))).map(({ name }) => name)).toEqual(['player/hls.ts']);
  });

  it('files stay short', () => {
    const long = files.filter(({ name, text }) => {
      const most = name.startsWith('components/') ? 150 : name.startsWith('pages/') ? 200 : 300;
      return text.split('\n').length > most;
    });
    expect(long.map(({ name }) => name)).toEqual([]);
  });

  it('no word is without a place', () => {
    const inWords = ({ name }: { name: string }): boolean => name.startsWith('i18n/');
    const words = files.filter(inWords);
    const pages = files.filter((file) => !inWords(file));
    const keys = words.flatMap(({ text }) => Array.from((text.split('const ko')[0] ?? '').matchAll(/^  (\w+): '/gm), ([, key]) => key ?? ''));
    const used = pages.map(({ text }) => text).join('\n');
    // the questions about a node are put together from what is to be done
    const made = ['drain', 'undrain', 'remove'].flatMap((action) => [`${action}Ask`, `${action}Text`]);
    expect(keys.length).toBeGreaterThan(200);
    expect(keys.filter((key) => !made.includes(key) && !used.includes(`'${key}'`))).toEqual([]);
  });

  it('nothing is put into a page as HTML', () => {
    expect(files.filter(({ text }) => /\{@html|innerHTML|insertAdjacentHTML|document\.write/.test(text))).toEqual([]);
  });
});
