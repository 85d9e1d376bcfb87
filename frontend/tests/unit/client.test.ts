import { describe, expect, it, vi } from 'vitest';
import { ApiError, call, problem } from '../../src/api/client';

describe('a refusal', () => {
  it('is named by the last word of its type', () => {
    const error = problem(503, '{"type":"urn:airclass:problem:cluster-full","detail":"All places are taken.","retry_after_s":7}', null);
    expect([error.slug, error.status, error.message, error.retryAfterS]).toEqual(['cluster-full', 503, 'All places are taken.', 7]);
  });

  it('is understood by its status where a proxy answered with HTML', () => {
    expect(problem(429, '<html>', '12')).toMatchObject({ slug: 'too-many-tries', retryAfterS: 12 });
    expect(problem(502, '', null)).toMatchObject({ slug: 'failed', retryAfterS: null });
  });

  it.each(['[]', 'null', '7', '{"type":7,"detail":[]}', '{"type":"urn:evil:made-up"}'])('survives %s', (text) => {
    expect(problem(404, text, 'soon').slug).toBe('not-found');
  });
});

describe('a call', () => {
  const answer = (body: string, status = 200): void => {
    vi.stubGlobal('fetch', () => Promise.resolve(new Response(status === 204 ? null : body, { status })));
  };

  it('returns JSON, or nothing for 204', async () => {
    answer('{"a":1}');
    expect(await call('GET', '/x')).toEqual({ a: 1 });
    answer('', 204);
    expect(await call('POST', '/x')).toBeUndefined();
  });

  it('throws what the master said', async () => {
    answer('{"type":"urn:airclass:problem:class-full"}', 503);
    await expect(call('POST', '/x')).rejects.toMatchObject({ slug: 'class-full' });
  });

  it('calls it offline when no answer comes', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed to fetch')));
    await expect(call('GET', '/x')).rejects.toSatisfy((error: unknown) => error instanceof ApiError && error.slug === 'offline');
  });

  it('does not take HTML for an answer', async () => {
    answer('<html>');
    await expect(call('GET', '/x')).rejects.toMatchObject({ slug: 'failed' });
  });
});
