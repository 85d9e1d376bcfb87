// An exported name means one thing, retired names do not come back, and unit tests mirror the sources.
import { describe, expect, it } from 'vitest';

const sources = import.meta.glob<string>('../../src/**/*.{ts,svelte}', {
  query: '?raw',
  import: 'default',
  eager: true,
});
const unitTests = Object.keys(import.meta.glob('../unit/**/*.test.ts'));

const files = Object.entries(sources).map(([path, text]) => ({ name: path.replace('../../src/', ''), text }));
const modules = files.map(({ name }) => name.replace(/(\.svelte)?(\.d)?\.ts$|\.svelte$/, ''));

const RETIRED_MODULES = `
  api/session api/socket components/ClassOptions components/Classroom components/Confirm
  components/ControlButton components/Delay components/Player components/PlayerControls
  components/QualityLine components/Shell components/StateBadge components/TextForm
  components/admin/Backup components/admin/Cards components/admin/ClassTable components/admin/EditUser
  components/admin/Events components/admin/NewUser components/admin/Settings components/admin/Users
  components/teach/ClassList components/teach/ClassPage components/teach/LiveNow components/teach/NewClass
  components/teach/Preview components/teach/SendPicture components/teach/ShareCode components/teach/Signal
  components/teach/Viewers pages/Watch player/hls player/index player/level player/native player/pace
  player/relays player/settings player/stats state/address state/admin state/advice state/classes
  state/cluster state/device state/lesson state/people state/question state/reason state/screen
  state/session state/teaching
`.match(/\S+/g);

const RETIRED_NAMES = `
  Advice Aim Classes Cure Facts Figures Ingest Joined LiveSocket MakePlayer MonitorNews Pace People
  Phase Preview Question Report Screen Session StudentNews Teaching TeacherNews Verdict Why adviseTeacher
  aimOf atRelay explain folderOf forget keepAwake kick loginLink loudness makeLink makePlayer me pauseMs
  pieces preview problem recall remember safeNext tidy warmUp why withoutOldParts
`.match(/\S+/g);

function exportedNames(text: string): string[] {
  const found = text.matchAll(/^export (?:async )?(?:class|interface|type|const|function) (\w+)/gm);
  return Array.from(found, ([, name]) => name ?? '');
}

describe('names', () => {
  const exported = files.flatMap(({ text }) => exportedNames(text));

  it('are exported once', () => {
    expect(exported.length).toBeGreaterThan(100);
    expect(exported.filter((name, index) => exported.indexOf(name) !== index)).toEqual([]);
  });

  it('that were retired do not come back', () => {
    expect(modules.filter((name) => RETIRED_MODULES?.includes(name))).toEqual([]);
    expect(exported.filter((name) => RETIRED_NAMES?.includes(name))).toEqual([]);
  });

  it('of unit tests are those of the sources', () => {
    const tested = unitTests.map((path) => path.replace('../unit/', '').replace('.test.ts', ''));
    expect(tested.length).toBeGreaterThan(15);
    expect(tested.filter((name) => !modules.includes(name))).toEqual([]);
  });
});
