import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { baseCompile } from '@intlify/message-compiler';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import vue, { type Options as VueOptions } from '@vitejs/plugin-vue';
import type { Plugin, Rolldown } from 'vite';
import { defineConfig } from 'vitest/config';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const { version } = JSON.parse(readFileSync(at('package.json'), 'utf8')) as { version: string };

/** Answers `r/<room>` with the page `r/index.html` and `r/<room>/` with a redirect to it, as the server does. */
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

/** The texts as what their compiler makes of them, so that the page needs no compiler. */
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
    // After the types have gone.
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

/** Kinds of nodes and elements of Vue's compiler, whose package is no dependency of this one. */
const [ELEMENT, TEXT, INTERPOLATION, IF_BRANCH, FOR] = [1, 2, 5, 10, 11];
const PLAIN = 0;

/**
 * Gives each text that may change an element of its own. A browser that translates the page replaces text nodes. Vue
 * would go on writing into a node that is no longer in the page, where it updates a text beside other nodes; the whole
 * text of an element it writes anew.
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
 * Leaves out what the page does not use of Vue: 16 kB of the first load, gzipped. petite-vue-i18n imports all of it, to
 * look for a name that only other versions of Vue export.
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

/** Puts a `.br` and a `.gz` beside each text file, so that no server compresses at each request. */
function precompressed(): Plugin {
  return {
    name: 'precompressed',
    apply: 'build',
    enforce: 'post',
    // After Vite's own, which fills in what a dynamic import is to load beside its script.
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

/** A module and all that it imports, without what they load later. */
function imports(root: string, graph: Rolldown.ChunkingContext): ReadonlySet<string> {
  const found = new Set([at(root)]);
  for (const id of found)
    for (const imported of graph.getModuleInfo(id)?.importedIds ?? []) found.add(imported);
  return found;
}

/** Whether a page shows an icon. The library's index, which pages import, imports every icon. */
function shows(root: string, icon: string, graph: Rolldown.ChunkingContext): boolean {
  const name = icon.replaceAll(/(?:^|-)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
  const own = [...imports(root, graph)].filter((id) => id.startsWith(at('src')));
  // In an import of icons alone: the same words name other things, too.
  const imported = new RegExp(`import\\s*\\{[^}]*\\b${name}\\b[^}]*\\}\\s*from\\s*["']@lucide/vue["']`);
  return own.some((id) => imported.test(graph.getModuleInfo(id)?.code ?? ''));
}

/**
 * Which file of the first load a module belongs to. Left to itself the bundler makes one of each part that a
 * page shares with something loaded later: thirty files, which compress worse by a twentieth.
 */
function firstLoad(id: string, graph: Rolldown.ChunkingContext): string | null {
  // What begins a page is in a file of its own: another page that shares the rest must not begin it.
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
    // The Content-Security-Policy knows no `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // For scripts/size.js.
    manifest: true,
    rolldownOptions: {
      input: { landing: at('index.html'), room: at('r/index.html'), admin: at('admin.html') },
      output: { codeSplitting: { groups: [{ name: firstLoad, debugName: 'first load' }] } },
    },
  },
  // A safety code takes a core for half a second, and tests run beside compilers.
  test: { environment: 'node', include: ['src/**/*.test.ts'], testTimeout: 30_000 },
}));
