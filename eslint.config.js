// Lint: typescript-eslint's strict, type-aware set. A rule is turned off only with its reason beside it.
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
  { ignores: ['dist/', 'node_modules/', 'src/cli/unidbg.js', 'eslint.config.js', '.demo/', 'coverage/', 'probes/guest/node/'] },
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      // Numbers and addresses in messages are the point of a debugger.
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // `while (true)` is how a byte cursor loops.
      '@typescript-eslint/no-unnecessary-condition': ['error', { allowConstantLoopConditions: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      // Bounds-checked reads are written `bytes[i]!` where the loop is the proof; parsers read through src/bytes instead.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // An implementation of an async interface need not itself await.
      '@typescript-eslint/require-await': 'off',
    },
  },
);
