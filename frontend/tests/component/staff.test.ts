import { render, screen, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import Admin from '../../src/pages/Admin.svelte';
import Login from '../../src/pages/Login.svelte';
import Teacher from '../../src/pages/Teacher.svelte';
import { locale } from '../../src/i18n/locale.svelte';
import type { ReasonCode } from '../../src/api/types';
import { classroom, node, viewer } from '../builders';
import { FakeMaster, FakeSocket } from '../fakes';

vi.mock('uplot', () => ({
  default: class { static paths = {}; setData(): void {} setSize(): void {} redraw(): void {} destroy(): void {} },
}));
vi.stubGlobal('matchMedia', () => new EventTarget());
vi.stubGlobal('ResizeObserver', class { observe(): void {} disconnect(): void {} });

let master: FakeMaster;
const user = { id: 'u1', name: 'Kim', role: 'admin' };
const summary = { total_nodes: 2, active_nodes: 2, total_capacity: 300, current_load: 90, average_load: 30, recommendation: '', recommendation_code: 'balanced', recommendation_figures: {} };

beforeEach(() => {
  FakeSocket.install();
  master = new FakeMaster();
  master.answers = {
    'GET /api/me': { user },
    'GET /api/classrooms': { classrooms: [classroom()] },
    'GET /api/classrooms/c1': classroom({ rtmp_server: 'rtmp://m/live' }),
    'GET /cluster/nodes': { nodes: [node(2), node(1)], summary },
    'GET /api/users': { users: [user, { id: 'u2', name: '<i>Lee</i>', role: 'teacher' }] },
    'GET /api/events': { events: [{ at: '2026-11-23T01:00:00Z', actor: 'Kim', action: 'node.drain', target: 'relay-3', detail: '' }] },
    'GET /api/backup': { at: '', size_bytes: 0 },
    'GET /api/settings': { settings: { MODE: 'master', CLUSTER_SECRET: '***' } },
  };
  history.replaceState(null, '', '/teach');
  locale.choose('en');
});

describe('the teacher’s page', () => {
  const open = async (): Promise<void> => {
    location.hash = '#/c1';
    render(Teacher);
    await screen.findByRole('heading', { name: 'Physics' });
    FakeSocket.last.open();
  };

  it('lists classes', async () => {
    location.hash = '';
    render(Teacher);
    expect(await screen.findByRole('link', { name: /Physics/ })).toHaveAttribute('href', '#/c1');
  });

  it('says what to do before the first picture', async () => {
    await open();
    expect(screen.getByRole('heading', { name: 'You are not live yet' })).toBeVisible();
    expect(screen.getByText('rtmp://m/live')).toBeVisible();
    expect(screen.getByText(/The key is shown only when it is made/)).toBeVisible();
  });

  it('shows a key only after a click', async () => {
    master.answers['POST /api/classrooms/c1/rotate-key'] = classroom({ rtmp_server: 'rtmp://m/live', rtmp_key: 'c1?token=abc' });
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'New key' }));
    await userEvent.click(screen.getByRole('button', { name: 'Make new key' }));
    const show = await screen.findByRole('button', { name: 'Show key' });
    expect(screen.queryByText('c1?token=abc')).toBeNull();
    await userEvent.click(show);
    expect(screen.getByText('c1?token=abc')).toBeVisible();
  });

  it('does nothing when the question is answered with no', async () => {
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'End class' }));
    await userEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    expect(master.calls.filter((call) => call.startsWith('POST'))).toEqual([]);
  });

  it('shows who is here, and advice in words', async () => {
    await open();
    const facts = { bitrate_bps: 2e6, width: 1280, height: 720, fps: 30, keyframe_s: 9, video_codec: 'H264', audio_codec: 'AAC', taken_over_by: '', advice: [] };
    FakeSocket.last.says({ type: 'snapshot', viewers: [viewer(1), viewer(2, { quality: 'poor', latency_ms: -1 })], facts, state: 'waiting' });
    const row = within(await screen.findByRole('row', { name: /Student 2/ }));
    expect(row.getByText('Poor')).toBeVisible();
    expect(row.getByText('–')).toBeVisible();
    expect(screen.getByText(/A key frame comes only every 9 s/)).toBeVisible();
  });

  it('believes the socket more than an older answer', async () => {
    master.answers['POST /api/classrooms/c1/new-code'] = classroom({ code: 'NEWCODE2', state: 'waiting' });
    await open();
    FakeSocket.last.says({ type: 'snapshot', state: 'ended' });
    expect(await screen.findByRole('heading', { name: 'This class has ended' })).toBeVisible();
    await userEvent.click(screen.getByRole('button', { name: 'New code' }));
    await userEvent.click(screen.getByRole('button', { name: 'Make new code' }));
    expect((await screen.findAllByText('NEWCODE2')).length).toBeGreaterThan(0);
    expect(screen.getByRole('heading', { name: 'This class has ended' })).toBeVisible();
  });

  it('changes only the options that were changed', async () => {
    master.answers['PATCH /api/classrooms/c1'] = classroom({ capacity: 40, has_password: true });
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'Options' }));
    const dialog = within(screen.getByRole('dialog'));
    expect(dialog.queryByText('Also taught by')).toBeNull(); // a teacher knows no accounts
    await userEvent.type(dialog.getByLabelText(/Most students/), '40');
    await userEvent.click(dialog.getByLabelText('Students need no password'));
    await userEvent.type(dialog.getByLabelText('Password for students'), 'sesame');
    await userEvent.click(dialog.getByRole('button', { name: 'Save' }));
    await vi.waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(master.asked.find(({ method }) => method === 'PATCH')?.body).toEqual({ capacity: 40, password: 'sesame' });
  });

  it('keeps the options open, with a sentence, when the master refuses them', async () => {
    master.answers['PATCH /api/classrooms/c1'] = [409, 'conflict'];
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'Options' }));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(await within(screen.getByRole('dialog')).findByText(/somebody has just changed/)).toBeVisible();
  });

  it('says when an action failed', async () => {
    master.answers['POST /api/classrooms/c1/close'] = [403, 'forbidden'];
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'Close class' }));
    expect(await screen.findByText('Your account may not do this.')).toBeVisible();
  });
});

describe('the dashboard', () => {
  it('shows cards and sorted nodes', async () => {
    render(Admin);
    const rows = await screen.findAllByRole('row');
    expect(rows.slice(1).map((row) => within(row).getByRole('rowheader').textContent)).toEqual(['relay-1http://10.0.0.1:8080', 'relay-2http://10.0.0.2:8080']);
    expect(screen.getByText('30.0 %')).toBeVisible();
    expect(screen.getByText('Cluster is well-balanced.')).toBeVisible();
  });

  it.each([
    ['en', 'silent', { silent_s: 41 }, /Nothing heard for 41 s/, ''],
    ['ko', 'silent', { silent_s: 41 }, /41초 동안 신호가 없습니다/, ''],
    ['ko', 'watched', { times: 3, left_s: 9 }, /3번 끊겼다 돌아왔습니다\. 9초 더/, ''],
    ['ko', 'no-ingest', {}, /수신 서버에 연결하지 못합니다/, 'as the master says it'],
    ['ko', 'of a newer master', {}, /as the master says it/, ''],
  ] as const)('says in %s why a node is not at work: %s', async (lang, reason_code, reason_figures, sentence, detail) => {
    locale.choose(lang);
    const sick = node(1, { status: 'unhealthy', reason: 'as the master says it', reason_code: reason_code as ReasonCode, reason_figures });
    const advice = { recommendation_code: 'check-node', recommendation_figures: { node: 'relay-1', others: 0 } };
    master.answers['GET /cluster/nodes'] = { nodes: [sick, node(2)], summary: { ...summary, ...advice } };
    render(Admin);
    const row = await screen.findByRole('row', { name: /relay-1/ });
    expect(within(row).getByText(sentence)).toBeVisible();
    expect(row.querySelector('[lang=en]')?.textContent ?? '').toBe(detail);
    expect(screen.getByText(/relay-1: /)).toHaveTextContent(sentence);
  });

  it('asks before it drains', async () => {
    master.answers['POST /cluster/drain/relay-1'] = null;
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Drain: relay-1' }));
    expect(master.calls).not.toContain('POST /cluster/drain/relay-1');
    await userEvent.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Drain' }));
    expect(master.calls).toContain('POST /cluster/drain/relay-1');
  });

  it('keeps what it knows when the master does not answer', async () => {
    render(Admin);
    await screen.findAllByRole('row');
    delete master.answers['GET /cluster/nodes'];
    await userEvent.click(screen.getByRole('button', { name: 'Refresh' }));
    expect(await screen.findByText(/No answer from the school’s server/)).toBeVisible();
    expect(screen.getAllByRole('row')).toHaveLength(3);
  });

  it('is closed to teachers', async () => {
    master.answers['GET /api/me'] = { user: { ...user, role: 'teacher' } };
    render(Admin);
    expect(await screen.findByText('Your account may not do this.')).toBeVisible();
    expect(master.calls).toEqual(['GET /api/me']);
  });

  it('shows people as text and never offers to remove oneself', async () => {
    location.hash = '#/users';
    render(Admin);
    expect(await screen.findByText('<i>Lee</i>')).toBeVisible();
    expect(screen.getAllByRole('button', { name: /^Remove/ })).toHaveLength(1);
  });

  it('shows a monitor neither accounts nor settings', async () => {
    master.answers['GET /api/me'] = { user: { ...user, role: 'monitor' } };
    location.hash = '#/settings';
    render(Admin);
    await screen.findAllByRole('row');
    expect(screen.queryByRole('link', { name: 'People' })).toBeNull();
    expect(screen.queryByRole('link', { name: 'Settings' })).toBeNull();
    expect(master.calls).not.toContain('GET /api/settings');
  });

  it('changes an account, and only what was changed of it', async () => {
    master.answers['PATCH /api/users/u2'] = { id: 'u2', name: '<i>Lee</i>', role: 'monitor' };
    location.hash = '#/users';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Change: <i>Lee</i>' }));
    await userEvent.selectOptions(screen.getByLabelText('Role'), 'monitor');
    await userEvent.click(screen.getByLabelText('May sign in'));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await vi.waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(master.asked.find(({ method }) => method === 'PATCH')?.body).toEqual({ role: 'monitor', disabled: true });
  });

  it('makes a link that signs somebody in', async () => {
    master.answers['POST /api/users/u2/link'] = { url: 'http://m/login#link=once', expires_at: '2026-11-23T01:10:00Z' };
    location.hash = '#/users';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Change: <i>Lee</i>' }));
    await userEvent.click(screen.getByRole('button', { name: 'Make a sign-in link' }));
    expect(await screen.findByText('http://m/login#link=once')).toBeVisible();
  });

  it('says why the last administrator stays', async () => {
    master.answers['DELETE /api/users/u2'] = [409, 'last-admin'];
    location.hash = '#/users';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Remove: <i>Lee</i>' }));
    await userEvent.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Remove' }));
    expect(await screen.findByText('This is the last administrator. Make another one first.')).toBeVisible();
  });

  it('lets an administrator choose who else teaches a class, closed ones as well', async () => {
    master.answers['GET /api/classrooms'] = { classrooms: [classroom({ status: 'closed' })] };
    master.answers['PATCH /api/classrooms/c1'] = classroom({ co_teachers: ['u2'] });
    location.hash = '#/classrooms';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Change: Physics' }));
    await userEvent.click(await screen.findByLabelText('<i>Lee</i>'));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    await vi.waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(master.asked.find(({ method }) => method === 'PATCH')?.body).toEqual({ co_teachers: ['u2'] });
  });

  it('tells the events in words, also without a WebSocket', async () => {
    location.hash = '#/events';
    render(Admin);
    expect(await screen.findByRole('row', { name: /Kim Node drained · relay-3/ })).toBeVisible();
  });

  it.each([
    [{ at: '', size_bytes: 0 }, /There is no backup yet/],
    [{ at: new Date(Date.now() - 3_600_000).toISOString(), size_bytes: 1_400_000 }, /The last backup was made .* \(1\.4 MB\)/],
    [{ at: new Date(Date.now() - 100 * 3_600_000).toISOString(), size_bytes: 1 }, /Is the nightly job still running/],
  ])('tells of the last backup: %o', async (backup, sentence) => {
    master.answers['GET /api/backup'] = backup;
    location.hash = '';
    render(Admin);
    expect(await screen.findByText(sentence)).toBeVisible();
  });

  it('asks before it uses a node again, and offers to remove only one that is not at work', async () => {
    master.answers['GET /cluster/nodes'] = { nodes: [node(1, { status: 'draining' }), node(2)], summary };
    master.answers['POST /cluster/undrain/relay-1'] = null;
    location.hash = '';
    render(Admin);
    await userEvent.click(await screen.findByRole('button', { name: 'Use again: relay-1' }));
    expect(master.calls).not.toContain('POST /cluster/undrain/relay-1');
    await userEvent.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Use again' }));
    expect(master.calls).toContain('POST /cluster/undrain/relay-1');
    expect(screen.getAllByRole('button', { name: /^Remove/ }).map((button) => button.getAttribute('aria-label'))).toEqual(['Remove: relay-1']);
  });

  it('shows settings with their secrets hidden', async () => {
    location.hash = '#/settings';
    render(Admin);
    expect(within(await screen.findByRole('row', { name: /CLUSTER_SECRET/ })).getByText('***')).toBeVisible();
  });
});

describe('signing in', () => {
  const signIn = async (): Promise<void> => {
    await userEvent.type(screen.getByLabelText('User name'), 'kim');
    await userEvent.type(screen.getByLabelText('Password'), 'secret{Enter}');
  };

  it('leads to the page of the role', async () => {
    master.answers['POST /api/login'] = { user };
    const go = vi.fn<(path: string) => void>();
    history.replaceState(null, '', '/login');
    render(Login, { go });
    await signIn();
    await vi.waitFor(() => expect(go).toHaveBeenCalledWith('/admin'));
  });

  it('says what is wrong and keeps the name', async () => {
    master.answers['POST /api/login'] = [401, 'not-signed-in'];
    history.replaceState(null, '', '/login');
    render(Login, { go: () => undefined });
    await signIn();
    expect(await screen.findByText('User name or password is not right.')).toBeVisible();
    expect(screen.getByLabelText('User name')).toHaveValue('kim');
  });

  it('uses a link once and forgets it', async () => {
    master.answers['POST /api/login'] = [401, 'not-signed-in'];
    history.replaceState(null, '', '/login#link=abc&next=/teach');
    render(Login, { go: () => undefined });
    expect(location.hash).toBe('');
    expect(await screen.findByText(/This link was used already/)).toBeVisible();
  });
});
