// Builds the dashboard into dist/, which is committed: the server embeds it, and needs no Node to be built.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

const server = process.env.SWITCHBOARD_URL ?? 'http://127.0.0.1:3000';
const toServer = { target: server, changeOrigin: true };

export default defineConfig({
  plugins: [react()],
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy allows no data: scripts or styles
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rolldownOptions: {
      output: {
        // What changes with our own code is kept apart from what changes with a dependency.
        codeSplitting: {
          groups: [{ name: 'vendor', test: /node_modules/, tags: ['$initial'] }],
        },
      },
    },
  },
  server: {
    proxy: {
      '/api': toServer,
      '/health': toServer,
      '/openapi.json': toServer,
      '/sandbox': toServer,
      '/components': toServer,
      '/docs': toServer,
    },
  },
});
