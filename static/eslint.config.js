import js from '@eslint/js';
import prettier from 'eslint-config-prettier';
import vue from 'eslint-plugin-vue';
import { defineConfig } from 'eslint/config';
import ts from 'typescript-eslint';

const network = ['WebSocket', 'fetch', 'XMLHttpRequest', 'EventSource', 'RTCPeerConnection'];

export default defineConfig(
  { ignores: ['dist/', 'src/protocol/'] },
  js.configs.recommended,
  {
    files: ['**/*.ts', '**/*.vue'],
    extends: [ts.configs.strictTypeChecked, ts.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, extraFileExtensions: ['.vue'] } },
    rules: {
      // The compiler checks names; this rule does not know the DOM types.
      'no-undef': 'off',
      // Spreading a string yields its code points, which is what the protocol counts.
      '@typescript-eslint/no-misused-spread': ['error', { allow: ['string'] }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
    },
  },
  vue.configs['flat/recommended'],
  {
    files: ['**/*.vue'],
    languageOptions: { parserOptions: { parser: ts.parser } },
    rules: {
      'vue/block-lang': ['error', { script: { lang: 'ts' } }],
      'vue/no-static-inline-styles': 'error',
      // The compiler checks optional props.
      'vue/require-default-prop': 'off',
    },
  },
  {
    files: ['src/core/**'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              group: ['vue', 'petite-vue-i18n', '@vue/*', '**/ui/**', '**/i18n/**'],
              message: 'The core knows no UI.',
            },
          ],
        },
      ],
    },
  },
  {
    files: ['src/ui/**', 'src/i18n/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        ...network.map((name) => ({ name, message: 'The UI asks the core; it has no network of its own.' })),
      ],
    },
  },
  {
    files: ['scripts/**', 'public/**', '*.js'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        document: 'readonly',
        addEventListener: 'readonly',
        Buffer: 'readonly',
      },
    },
  },
  prettier,
);
