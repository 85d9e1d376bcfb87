import { render, screen, within } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import Teacher from '../../../src/pages/Teacher.svelte';
import { locale } from '../../../src/i18n/locale.svelte';
import { classroom, viewer } from '../../builders';
import { FakeMaster, FakeSocket } from '../../fakes';

let master: FakeMaster;

beforeEach(() => {
  FakeSocket.install();
  master = new FakeMaster();
  master.responses = {
    'GET /api/me': { user: { id: 'u1', name: 'Kim', role: 'teacher' } },
    'GET /api/classrooms': { classrooms: [classroom()] },
    'GET /api/classrooms/c1': classroom({ rtmp_server: 'rtmp://m/live' }),
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

  it('shows the encoder setup before the stream arrives', async () => {
    await open();
    expect(screen.getByRole('heading', { name: 'You are not live yet' })).toBeVisible();
    expect(screen.getByText('rtmp://m/live')).toBeVisible();
    expect(screen.getByText(/The key is shown only when it is made/)).toBeVisible();
  });

  it('shows a stream key only after a click', async () => {
    master.responses['POST /api/classrooms/c1/rotate-key'] = classroom({
      rtmp_server: 'rtmp://m/live',
      rtmp_key: 'c1?token=abc',
    });
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'New key' }));
    await userEvent.click(screen.getByRole('button', { name: 'Make new key' }));
    const show = await screen.findByRole('button', { name: 'Show key' });
    expect(screen.queryByText('c1?token=abc')).toBeNull();
    await userEvent.click(show);
    expect(screen.getByText('c1?token=abc')).toBeVisible();
  });

  it('does nothing if a confirmation is cancelled', async () => {
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'Retire class' }));
    await userEvent.click(screen.getByRole('button', { name: 'Cancel' }));
    expect(master.calls.filter((call) => call.startsWith('POST'))).toEqual([]);
  });

  it('ends a lesson and starts the next one, with the class as it is', async () => {
    const lesson = { id: 'l1', started_at: '2026-11-23T01:00:00Z', ended_at: '' };
    const ended = { ...lesson, ended_at: '2026-11-23T01:50:00Z' };
    master.responses['POST /api/classrooms/c1/end-lesson'] = ended;
    master.responses['POST /api/classrooms/c1/start-lesson'] = { ...lesson, id: 'l2' };
    await open();
    expect(screen.queryByRole('button', { name: 'End lesson' })).toBeNull();
    FakeSocket.last.receive({ type: 'snapshot', state: 'live', classroom: classroom({ lesson }) });
    await userEvent.click(await screen.findByRole('button', { name: 'End lesson' }));
    await userEvent.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'End lesson' }));
    FakeSocket.last.receive({ type: 'change', state: 'between-lessons' });
    expect(await screen.findByRole('heading', { name: 'The lesson is over' })).toBeVisible();
    expect(screen.getByRole('button', { name: 'Close class' })).toBeVisible();
    await userEvent.click(screen.getByRole('button', { name: 'Start next lesson' }));
    FakeSocket.last.receive({ type: 'change', state: 'waiting' });
    expect(await screen.findByRole('heading', { name: 'You are not live yet' })).toBeVisible();
    expect(await screen.findByRole('button', { name: 'End lesson' })).toBeVisible();
    expect(master.calls.filter((call) => call.endsWith('-lesson'))).toEqual([
      'POST /api/classrooms/c1/end-lesson',
      'POST /api/classrooms/c1/start-lesson',
    ]);
  });

  it('deletes a class and goes back to the list', async () => {
    master.responses['DELETE /api/classrooms/c1'] = null;
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'Delete class' }));
    await userEvent.click(within(screen.getByRole('dialog')).getByRole('button', { name: 'Delete class' }));
    await vi.waitFor(() => expect(location.hash).toBe('#/'));
    expect(master.calls).toContain('DELETE /api/classrooms/c1');
  });

  it('shows the viewers and advice on the encoder', async () => {
    await open();
    const info = {
      bitrate_bps: 2e6,
      width: 1280,
      height: 720,
      fps: 30,
      keyframe_s: 9,
      video_codec: 'H264',
      audio_codec: 'AAC',
      taken_over_by: '',
      advice: [],
    };
    FakeSocket.last.receive({
      type: 'snapshot',
      viewers: [viewer(1), viewer(2, { quality: 'poor', latency_ms: -1 })],
      facts: info,
      state: 'waiting',
    });
    const row = within(await screen.findByRole('row', { name: /Student 2/ }));
    expect(row.getByText('Poor')).toBeVisible();
    expect(row.getByText('–')).toBeVisible();
    expect(screen.getByText(/A key frame comes only every 9 s/)).toBeVisible();
  });

  it('does not overwrite a push by an older response', async () => {
    master.responses['POST /api/classrooms/c1/new-code'] = classroom({ code: 'NEWCODE2', state: 'waiting' });
    await open();
    FakeSocket.last.receive({ type: 'snapshot', state: 'ended' });
    expect(await screen.findByRole('heading', { name: 'This class is retired' })).toBeVisible();
    await userEvent.click(screen.getByRole('button', { name: 'New code' }));
    await userEvent.click(screen.getByRole('button', { name: 'Make new code' }));
    expect((await screen.findAllByText('NEWCODE2')).length).toBeGreaterThan(0);
    expect(screen.getByRole('heading', { name: 'This class is retired' })).toBeVisible();
  });

  it('changes only the options that were changed', async () => {
    master.responses['PATCH /api/classrooms/c1'] = classroom({ capacity: 40, has_password: true });
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'Options' }));
    const dialog = within(screen.getByRole('dialog'));
    expect(dialog.queryByText('Also taught by')).toBeNull(); // only administrators see accounts
    await userEvent.type(dialog.getByLabelText(/Most students/), '40');
    await userEvent.click(dialog.getByLabelText('Students need no password'));
    await userEvent.type(dialog.getByLabelText('Password for students'), 'sesame');
    await userEvent.click(dialog.getByRole('button', { name: 'Save' }));
    await vi.waitFor(() => expect(screen.queryByRole('dialog')).toBeNull());
    expect(master.requests.find(({ method }) => method === 'PATCH')?.body).toEqual({
      capacity: 40,
      password: 'sesame',
    });
  });

  it('keeps the options open, with an error, if the master refuses them', async () => {
    master.responses['PATCH /api/classrooms/c1'] = [409, 'conflict'];
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'Options' }));
    await userEvent.click(screen.getByRole('button', { name: 'Save' }));
    expect(await within(screen.getByRole('dialog')).findByText(/somebody has just changed/)).toBeVisible();
  });

  it('reports a failed action', async () => {
    master.responses['POST /api/classrooms/c1/close'] = [403, 'forbidden'];
    await open();
    await userEvent.click(screen.getByRole('button', { name: 'Close class' }));
    expect(await screen.findByText('Your account may not do this.')).toBeVisible();
  });
});
