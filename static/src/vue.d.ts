// HTML attributes that Vue's types lack.
import 'vue';

declare module 'vue' {
  interface HTMLAttributes {
    popover?: 'auto' | 'manual';
  }
  interface ButtonHTMLAttributes {
    popovertarget?: string;
  }
}
