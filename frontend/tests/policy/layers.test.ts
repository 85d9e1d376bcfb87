// Layers: pages → components → state → api | player. Only one file imports hls.js.
import { describe, expect, it } from 'vitest';

const sources = import.meta.glob<string>('../../src/**/*.{ts,svelte}', {
  query: '?raw',
  import: 'default',
  eager: true,
});
const files = Object.entries(sources)
  .filter(([path]) => !path.endsWith('.d.ts'))
  .map(([path, text]) => ({ name: path.replace('../../src/', ''), text }));

/** The imports of a file, without type imports. */
function imports(text: string): string[] {
  const found = text.matchAll(
    /^\s*(?:import|export)\s+(?!type\b)[^'";]*?from\s+'([^']+)'|import\('([^']+)'\)/gm,
  );
  return Array.from(found, ([, from, lazy]) => from ?? lazy ?? '');
}

const MAY: Record<string, string[]> = {
  pages: ['components', 'state', 'i18n', 'format'],
  components: ['components', 'state', 'i18n', 'format'],
  state: ['state', 'api', 'player', 'i18n'],
  player: ['player'],
  api: ['api'],
};
// The sign-in page checks the class of an error.
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

  it('only one file imports hls.js', () => {
    expect(
      files
        .filter(({ text }) => imports(text).some((from) => from.startsWith('hls.js')))
        .map(({ name }) => name),
    ).toEqual(['player/hlsPlayer.ts']);
  });

  it('files stay short, without their styles', () => {
    const long = files.filter(({ name, text }) => {
      const most = name.startsWith('components/') ? 150 : name.startsWith('pages/') ? 200 : 300;
      return text.replace(/<style>[^]*<\/style>/, '').split('\n').length > most;
    });
    expect(long.map(({ name }) => name)).toEqual([]);
  });

  it('every text is used', () => {
    const isText = ({ name }: { name: string }): boolean => name.startsWith('i18n/');
    const texts = files.filter(isText);
    const pages = files.filter((file) => !isText(file));
    const keys = texts.flatMap(({ text }) =>
      Array.from((text.split('const ko')[0] ?? '').matchAll(/^ {2}(\w+):\s+'/gm), ([, key]) => key ?? ''),
    );
    const used = pages.map(({ text }) => text).join('\n');
    // keys that Admin.svelte composes
    const composed = ['drain', 'undrain', 'remove'].flatMap((action) => [`${action}Ask`, `${action}Text`]);
    expect(keys.length).toBeGreaterThan(200);
    expect(keys.filter((key) => !composed.includes(key) && !used.includes(`'${key}'`))).toEqual([]);
  });

  it('no text is inserted as HTML', () => {
    expect(
      files.filter(({ text }) => /\{@html|innerHTML|insertAdjacentHTML|document\.write/.test(text)),
    ).toEqual([]);
  });
});
