// What HTML knows and Vue's types do not yet.
import 'vue';

declare module 'vue' {
  interface HTMLAttributes {
    popover?: 'auto' | 'manual';
  }
  interface ButtonHTMLAttributes {
    popovertarget?: string;
  }
}
