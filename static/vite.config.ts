import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { baseCompile } from '@intlify/message-compiler';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import vue, { type Options as VueOptions } from '@vitejs/plugin-vue';
import type { Plugin, Rolldown } from 'vite';
import { defineConfig } from 'vitest/config';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const { version } = JSON.parse(readFileSync(at('package.json'), 'utf8')) as { version: string };

/** Serves `r/<room>` with the page `r/index.html`, and redirects `r/<room>/` to it, as the server does. */
function roomAddresses(): Plugin {
  return {
    name: 'room-addresses',
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        const [, room, slash, query = ''] = /^\/r\/([^/?]+)(\/?)(\?.*)?$/.exec(request.url ?? '') ?? [];
        if (room !== undefined && slash === '/') {
          response.writeHead(302, { location: `../${room}${query}` }).end();
          return;
        }
        if (room !== undefined) request.url = '/r/index.html';
        next();
      });
    },
  };
}

interface Texts {
  readonly [key: string]: string | Texts;
}

/** Precompiles the texts, so that the page needs no message compiler. */
function compiledTexts(): Plugin {
  const fail = (error: Error): never => {
    throw error;
  };
  const compiled = (texts: Texts): object =>
    Object.fromEntries(
      Object.entries(texts).map(([key, text]) => [
        key,
        typeof text === 'string'
          ? baseCompile(text, { jit: true, minify: true, location: false, onError: fail }).ast
          : compiled(text),
      ]),
    );
  return {
    name: 'compiled-texts',
    apply: 'build',
    // After the types have been removed.
    enforce: 'post',
    async transform(code, id) {
      if (!/\/i18n\/(en|zh-CN)(\.(room|diag|admin))?\.ts$/.test(id)) return;
      const texts = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as Record<
        string,
        Texts
      >;
      const lines = Object.entries(texts).map(
        ([name, each]) => `export const ${name} = ${JSON.stringify(compiled(each))};`,
      );
      return { code: lines.join('\n'), map: null };
    },
  };
}

type TemplateTransform =
  NonNullable<NonNullable<VueOptions['template']>['compilerOptions']> extends {
    nodeTransforms?: (infer T)[];
  }
    ? T
    : never;
type TemplateNode = Parameters<TemplateTransform>[0];
type TemplateChild = Extract<TemplateNode, { children: unknown[] }>['children'][number] & TemplateNode;

/** Node and element types of Vue's compiler, whose package is not a dependency. */
const [ELEMENT, TEXT, INTERPOLATION, IF_BRANCH, FOR] = [1, 2, 5, 10, 11];
const PLAIN = 0;

/**
 * Gives each changing text its own element. A browser that translates the page replaces text nodes. Where a text has
 * sibling nodes, Vue would keep updating a text node that is no longer in the page; where an element contains only
 * text, Vue replaces the whole content.
 */
const keepTranslatable: TemplateTransform = (node) => {
  const parent = node as { type: number; tagType?: number; children?: TemplateChild[] };
  if (!parent.children || ![ELEMENT, IF_BRANCH, FOR].includes(parent.type)) return;
  const isKind = ({ type }: { type: number }, kind: number | undefined): boolean => type === kind;
  const isText = (each: { type: number }): boolean => isKind(each, TEXT) || isKind(each, INTERPOLATION);
  const isAlone = parent.type === ELEMENT && parent.tagType === PLAIN && parent.children.every(isText);
  if (isAlone || !parent.children.some((each) => isKind(each, INTERPOLATION))) return;
  const children: TemplateChild[] = [];
  let run: TemplateChild[] = [];
  const end = (): void => {
    const changes = run.some((each) => isKind(each, INTERPOLATION));
    const [first] = run;
    if (changes && first) {
      const { loc } = first;
      const bdi = { type: ELEMENT, tag: 'bdi', tagType: PLAIN, ns: 0, props: [], children: run, loc };
      children.push({ ...bdi, codegenNode: undefined } as unknown as TemplateChild);
    } else {
      children.push(...run);
    }
    run = [];
  };
  for (const child of parent.children) {
    if (isText(child)) {
      run.push(child);
    } else {
      end();
      children.push(child);
    }
  }
  end();
  parent.children = children;
};

/**
 * Excludes unused parts of Vue: 16 kB of the first load, gzipped. petite-vue-i18n imports all of it, to look for an
 * export that only other versions of Vue have.
 */
function shakenVue(): Plugin {
  const all = "import * as Vue from 'vue';";
  return {
    name: 'shaken-vue',
    apply: 'build',
    transform(code, id) {
      if (!id.includes('/petite-vue-i18n/') || !code.includes(all)) return;
      const used =
        "import { getCurrentInstance as vueInstance } from 'vue';\nconst Vue = { getCurrentInstance: vueInstance };";
      return { code: code.replace(all, used), map: null };
    },
  };
}

/** Adds a `.br` and a `.gz` for each text file, so that servers need not compress per request. */
function precompressed(): Plugin {
  return {
    name: 'precompressed',
    apply: 'build',
    enforce: 'post',
    // After Vite's own plugin, which fills in the files that a dynamic import loads beside its script.
    generateBundle: {
      order: 'post',
      handler(_options, bundle) {
        for (const [fileName, file] of Object.entries(bundle)) {
          if (!/\.(js|css|html|svg|webmanifest)$/.test(fileName)) continue;
          const source = Buffer.from(file.type === 'chunk' ? file.code : file.source);
          const params = { [constants.BROTLI_PARAM_SIZE_HINT]: source.length };
          this.emitFile({
            type: 'asset',
            fileName: `${fileName}.br`,
            source: brotliCompressSync(source, { params }),
          });
          this.emitFile({
            type: 'asset',
            fileName: `${fileName}.gz`,
            source: gzipSync(source, { level: 9 }),
          });
        }
      },
    },
  };
}

/** Returns a module and everything that it imports, without dynamic imports. */
function imports(root: string, graph: Rolldown.ChunkingContext): ReadonlySet<string> {
  const found = new Set([at(root)]);
  for (const id of found)
    for (const imported of graph.getModuleInfo(id)?.importedIds ?? []) found.add(imported);
  return found;
}

/** Returns whether a page shows an icon. The library's index, which pages import, imports every icon. */
function shows(root: string, icon: string, graph: Rolldown.ChunkingContext): boolean {
  const name = icon.replaceAll(/(?:^|-)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  const own = [...imports(root, graph)].filter((id) => id.startsWith(at('src')));
  // Only in an import of icons: other things have the same names.
  const imported = new RegExp(`import\\s*\\{[^}]*\\b${name}\\b[^}]*\\}\\s*from\\s*["']@lucide/vue["']`);
  return own.some((id) => imported.test(graph.getModuleInfo(id)?.code ?? ''));
}

/**
 * Returns the file of the first load that a module belongs to. By default the bundler creates one file for each part
 * that a page shares with something loaded later: thirty files, which compress worse by a twentieth.
 */
function firstLoad(id: string, graph: Rolldown.ChunkingContext): string | null {
  // The entry module is in a file of its own: another page that shares the rest must not run it.
  if (id === at('src/main.ts')) return null;
  if (imports('src/main.ts', graph).has(id)) return 'main';
  const room = 'src/ui/pages/RoomPage.vue';
  if (!imports(room, graph).has(id)) return null;
  const [, icon] = /@lucide\/vue\/dist\/esm\/icons\/([^/]+)\.mjs$/.exec(id) ?? [];
  if (icon !== undefined && !shows(room, icon, graph)) return null;
  return imports('src/ui/pages/LandingPage.vue', graph).has(id) ? 'pages' : 'room';
}

export default defineConfig(({ command }) => ({
  // Relative addresses, so that the build works under any path.
  base: './',
  plugins: [
    vue({ template: { compilerOptions: { nodeTransforms: [keepTranslatable] } } }),
    roomAddresses(),
    shakenVue(),
    compiledTexts(),
    precompressed(),
  ],
  define: {
    __VERSION__: JSON.stringify(version),
    __VUE_OPTIONS_API__: false,
    __VUE_I18N_FULL_INSTALL__: false,
    __VUE_I18N_LEGACY_API__: false,
    __INTLIFY_PROD_DEVTOOLS__: false,
    __INTLIFY_DROP_MESSAGE_COMPILER__: command === 'build',
  },
  build: {
    target: 'es2022',
    // `light-dark()` stays as it is: its replacement does not follow a chosen `color-scheme` (src/theme.ts).
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    // The Content-Security-Policy does not allow `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // For scripts/size.js.
    manifest: true,
    rolldownOptions: {
      input: { landing: at('index.html'), room: at('r/index.html'), admin: at('admin.html') },
      output: { codeSplitting: { groups: [{ name: firstLoad, debugName: 'first load' }] } },
    },
  },
  // Computing a safety code occupies a core for half a second, and tests may run beside compilers.
  test: { environment: 'node', include: ['src/**/*.test.ts'], testTimeout: 30_000 },
}));
