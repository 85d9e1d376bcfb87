import { describe, expect, it, vi } from 'vitest';
import { ApiError, call, parseProblem } from '../../../src/api/client';

describe('an error response', () => {
  it('is classified by the last segment of its type', () => {
    const error = parseProblem(
      503,
      '{"type":"urn:airclass:problem:cluster-full","detail":"All places are taken.","retry_after_s":7}',
      null,
    );
    expect([error.slug, error.status, error.message, error.retryAfterS]).toEqual([
      'cluster-full',
      503,
      'All places are taken.',
      7,
    ]);
  });

  it('is classified by its status if a proxy responds with HTML', () => {
    expect(parseProblem(429, '<html>', '12')).toMatchObject({ slug: 'too-many-tries', retryAfterS: 12 });
    expect(parseProblem(502, '', null)).toMatchObject({ slug: 'failed', retryAfterS: null });
  });

  it.each(['[]', 'null', '7', '{"type":7,"detail":[]}', '{"type":"urn:evil:made-up"}'])(
    'is classified by its status if the body is %s',
    (text) => {
      expect(parseProblem(404, text, 'soon').slug).toBe('not-found');
    },
  );
});

describe('a request', () => {
  const respond = (body: string, status = 200): void => {
    vi.stubGlobal('fetch', () => Promise.resolve(new Response(status === 204 ? null : body, { status })));
  };

  it('returns JSON, or nothing for 204', async () => {
    respond('{"a":1}');
    expect(await call('GET', '/x')).toEqual({ a: 1 });
    respond('', 204);
    expect(await call('POST', '/x')).toBeUndefined();
  });

  it('throws the problem of the response', async () => {
    respond('{"type":"urn:airclass:problem:class-full"}', 503);
    await expect(call('POST', '/x')).rejects.toMatchObject({ slug: 'class-full' });
  });

  it('throws `offline` if there is no response', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed to fetch')));
    await expect(call('GET', '/x')).rejects.toSatisfy(
      (error: unknown) => error instanceof ApiError && error.slug === 'offline',
    );
  });

  it('rejects HTML', async () => {
    respond('<html>');
    await expect(call('GET', '/x')).rejects.toMatchObject({ slug: 'failed' });
  });
});
