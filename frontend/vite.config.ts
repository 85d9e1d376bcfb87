import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const page = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const master = process.env.AIRCLASS_MASTER ?? 'http://127.0.0.1:8000';

// Four pages with one entry each, so that a student's browser does not download the code of the other pages.
// The master serves index.html for `/` and `/join/<code>`, so the base is absolute.
export default defineConfig({
  base: '/',
  plugins: [svelte()],
  resolve: process.env.VITEST ? { conditions: ['browser'] } : {},
  build: {
    outDir: '../airclass/_pages',
    emptyOutDir: true,
    manifest: true, // tests read which files each page loads
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // CSP has no data: for scripts and styles
    chunkSizeWarningLimit: 700,
    rolldownOptions: {
      input: {
        index: page('index.html'),
        teach: page('teach.html'),
        admin: page('admin.html'),
        login: page('login.html'),
      },
    },
  },
  server: {
    proxy: Object.fromEntries(
      ['/api', '/cluster', '/live', '/steering', '/ws'].map((path) => [
        path,
        { target: master, ws: path === '/ws' },
      ]),
    ),
  },
  test: {
    environment: 'jsdom',
    include: ['tests/**/*.test.ts'],
    setupFiles: ['tests/setup.ts'],
    restoreMocks: true,
    testTimeout: 20_000,
  },
});
