/** Version of the page, which equals the server's in the same release (`vite.config.ts`). */
declare const __VERSION__: string;

// For tools that read TypeScript without Vue (eslint); vue-tsc sees the real types.
declare module '*.vue' {
  import type { DefineComponent } from 'vue';
  const component: DefineComponent;
  export default component;
}
