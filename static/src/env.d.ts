/** The page's version, which is the server's of the same release (`vite.config.ts`). */
declare const __VERSION__: string;

// For programs that read TypeScript without knowing Vue (eslint); vue-tsc sees the real types.
declare module '*.vue' {
  import type { DefineComponent } from 'vue';
  const component: DefineComponent;
  export default component;
}
