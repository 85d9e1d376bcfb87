/**
 * A media playlist without the parts of its complete segments, unless no part would be left.
 *
 * When hls.js 1.7 switches pathways exactly between two segments, it takes the segment that it has for the
 * next one, because it does not know that segment's parts at the new relay. It then loads nothing until the
 * playlist no longer lists them: about 3.5 s, twice what is buffered. Without any part it would wait for the
 * next complete segment; with all parts it would wait for the first part of that segment.
 */
export function dropPartsOfCompleteSegments(playlist: string): string {
  const lines = playlist.split('\n');
  const lastSegment = lines.reduce(
    (last, line, at) => (line !== '' && !line.startsWith('#') ? at : last),
    -1,
  );
  if (!lines.slice(lastSegment + 1).some(isPart)) return playlist;
  return lines.filter((line, at) => at > lastSegment || !isPart(line)).join('\n');
}

function isPart(line: string): boolean {
  return line.startsWith('#EXT-X-PART:');
}
