import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

// The portal is served under `default-src 'self'`: nothing may be inlined as a data: address, script or style.
export default defineConfig({
  plugins: [vue()],
  build: {
    outDir: '../ccm_api/static',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
  server: {
    proxy: { '/api': { target: 'http://127.0.0.1:8080' } },
  },
})
