import { render, screen } from '@testing-library/svelte';
import userEvent from '@testing-library/user-event';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import Student from '../../../src/pages/Student.svelte';
import { locale } from '../../../src/i18n/locale.svelte';
import { joinResponse } from '../../builders';
import { FakeMaster, FakeSocket } from '../../fakes';

vi.mock('../../../src/player/createPlayer', () => ({
  createPlayer: () => new Promise(() => undefined),
  preloadPlayer: () => undefined,
}));

let master: FakeMaster;

beforeEach(() => {
  FakeSocket.install();
  master = new FakeMaster();
  master.responses = { 'POST /api/join': joinResponse({ state: 'waiting', live: false }) };
  history.replaceState(null, '', '/');
  locale.choose('en');
});

async function enter(): Promise<void> {
  render(Student, { code: 'K7QF' });
  await userEvent.type(await screen.findByLabelText('Name'), 'Mina{Enter}');
}

describe('the student page', () => {
  it('asks for the code, then for the name', async () => {
    render(Student);
    expect(screen.queryByLabelText('Name')).toBeNull();
    await userEvent.type(screen.getByLabelText('Class code'), 'k7qf{Enter}');
    expect(screen.queryByLabelText('Class code')).toBeNull();
    expect(screen.getByLabelText('Name')).toHaveFocus();
    expect(location.pathname).toBe('/join/K7QF');
  });

  it('cannot submit an empty field', async () => {
    render(Student);
    expect(screen.getByRole('button', { name: 'Next' })).toBeDisabled();
    await userEvent.type(screen.getByLabelText('Class code'), '  ');
    expect(screen.getByRole('button', { name: 'Next' })).toBeDisabled();
  });

  it.each([
    [[404, 'unknown-code'], 'There is no class with this code. Check it with your teacher.', 'alert'],
    [
      [403, 'forbidden'],
      'This class has a list of names and yours is not on it. Type it as your teacher wrote it.',
      'alert',
    ],
    [[403, 'wrong-password'], 'This class has a password', 'heading'],
    [[409, 'class-closed', 9], 'Class is closed', 'heading'],
    [[409, 'class-ended'], 'Class has ended', 'heading'],
    [[503, 'class-full', 9], 'The class is full', 'heading'],
    [[429, 'too-many-tries', 9], 'Too many tries', 'heading'],
    [[500, 'x'], 'The school’s server does not answer', 'heading'],
  ])('%j: “%s”', async (answer, text, role) => {
    master.responses['POST /api/join'] = answer;
    await enter();
    const shown = await screen.findByRole(role, role === 'heading' ? { name: text } : {});
    expect(shown).toHaveTextContent(text);
  });

  it('waits for the start without a player', async () => {
    await enter();
    expect(await screen.findByRole('heading', { name: 'Class has not started yet' })).toBeVisible();
    expect(document.querySelector('video')).toBeNull();
  });

  it.each([
    [{ type: 'kicked' }, 'You were removed from the class'],
    [{ type: 'ended' }, 'Class has ended'],
    [{ type: 'closed' }, 'Class is closed'],
    [{ type: 'change', state: 'reconnecting' }, 'Teacher is reconnecting'],
    [{ type: 'change', state: 'between-lessons' }, 'This lesson is over'],
  ])('%j: “%s”', async (message, text) => {
    await enter();
    await screen.findByRole('heading', { name: 'Class has not started yet' });
    FakeSocket.last.open().receive(message);
    expect(await screen.findByRole('heading', { name: text })).toBeVisible();
  });

  it('keeps the video element while the teacher reconnects', async () => {
    await enter();
    await screen.findByRole('heading', { name: 'Class has not started yet' });
    FakeSocket.last.open().receive({ type: 'snapshot', state: 'live', viewers: 12 });
    const video = await screen.findByLabelText('Class video', { selector: 'video' });
    FakeSocket.last.receive({ type: 'change', state: 'reconnecting' });
    expect(await screen.findByText('Teacher is reconnecting')).toBeVisible();
    expect(document.querySelector('video')).toBe(video);
    expect(screen.getByText('The teacher’s line is slow. It is not your device.')).toBeVisible();
    expect(screen.getByText('12 students here')).toBeVisible();
  });

  it('waits for the next lesson with its token, and starts it with a new video element', async () => {
    await enter();
    await screen.findByRole('heading', { name: 'Class has not started yet' });
    FakeSocket.last.open().receive({ type: 'snapshot', state: 'live' });
    const video = await screen.findByLabelText('Class video', { selector: 'video' });
    FakeSocket.last.receive({ type: 'change', state: 'between-lessons' });
    expect(await screen.findByRole('heading', { name: 'This lesson is over' })).toBeVisible();
    expect(document.querySelector('video')).toBeNull();
    expect(sessionStorage.getItem('airclass.token.K7QF')).toContain('token-1');
    FakeSocket.last.receive({ type: 'change', state: 'live' });
    expect(await screen.findByLabelText('Class video', { selector: 'video' })).not.toBe(video);
    expect(master.calls.filter((call) => call.startsWith('POST'))).toEqual(['POST /api/join']);
  });

  it('keeps the video element when the token is renewed', async () => {
    master.responses['POST /api/join'] = joinResponse({
      expires_at: new Date(Date.now() + 1500).toISOString(),
    });
    master.responses['POST /api/renew'] = joinResponse({ token: 'token-2' });
    await enter();
    const video = await screen.findByLabelText('Class video', { selector: 'video' });
    await vi.waitFor(() => expect(master.calls).toContain('POST /api/renew'), 3000);
    expect(document.querySelector('video')).toBe(video);
  });

  it('is available in Korean, sets the lang attribute, and shows names as text', async () => {
    locale.choose('ko');
    master.responses['POST /api/join'] = joinResponse({
      state: 'waiting',
      classroom: { id: 'c1', name: '<b id="x">수학</b>' },
    });
    render(Student, { code: 'K7QF' });
    await userEvent.type(await screen.findByLabelText('이름'), '민아{Enter}');
    expect(await screen.findByRole('heading', { name: '아직 수업이 시작되지 않았어요' })).toBeVisible();
    expect(screen.getByRole('heading', { name: '<b id="x">수학</b>' })).toBeVisible();
    expect(document.querySelector('#x')).toBeNull();
    expect(document.documentElement.lang).toBe('ko');
  });
});
