// Bundles the log page into dist/, which CMake embeds into the collector.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, rm } from "node:fs/promises";

// What the licences of the bundled libraries ask for.
async function notices(packages) {
  const licences = packages.map(async (name) => {
    const { version } = JSON.parse(await readFile(`node_modules/${name}/package.json`, "utf8"));
    return `${name} ${version}\n\n${await readFile(`node_modules/${name}/LICENSE`, "utf8")}`;
  });
  return `/*!\n${(await Promise.all(licences)).join("\n\n")}*/`;
}

const notice = await notices(["preact", "uplot"]);
await rm("dist", { recursive: true, force: true });
await mkdir("dist");
await build({
  entryPoints: [
    { in: "src/main.tsx", out: "app" },
    { in: "src/app.css", out: "app" },
  ],
  outdir: "dist",
  bundle: true,
  minify: true,
  legalComments: "none",
  banner: { js: notice, css: notice },
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
});
for (const file of ["index.html", "icon.svg"]) await copyFile(file, `dist/${file}`);
