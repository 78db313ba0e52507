/// Renders docs/configuration.md from the table, so that the page cannot say anything else than the program does.
public enum ConfigDocumentation {
    public static func markdown() -> String {
        var text = """
            # Configuration

            <!-- Generated from Sources/Platform/Configuration/ConfigTable.swift by `dev/generate-docs`; a test checks that it is current. -->

            A setting is taken from the first of these that has it: a flag of the command, an environment variable, the
            configuration file, the default. Every command takes every setting as a flag: `--set key=value`, as often as needed;
            some have an option of their own besides (`--data-dir`, `--timeout`). `acp config show` prints every value with the
            place it came from, and `acp config validate` names every mistake with its line.

            The file is `$XDG_CONFIG_HOME/acp/config.toml` (usually `~/.config/acp/config.toml`), or the one named by `--config` or
            `ACP_CONFIG`. It is a flat part of TOML:

            ```toml
            output = "json"

            [gateway]
            port = 9090          # the same as: gateway.port = 9090 before any [section]

            [database]
            url = "env:DATABASE_URL"
            ```

            Text stands in quotes, numbers and true/false do not. An unknown key, a wrong type or a value out of range is an error
            that names file, line, key and what is accepted. Secrets and addresses may be references: `env:NAME` takes an
            environment variable, `file:/path` the contents of a file. Secrets are shown as `***`.

            """
        var section: String? = ""
        for entry in ConfigTable.entries {
            if entry.section != section {
                section = entry.section
                text += "\n## \(section ?? "General")\n\n"
                text += "| key | environment | accepted | default | |\n|---|---|---|---|---|\n"
            }
            text += "| `\(entry.name)` | `\(entry.environmentName)` | \(entry.kind.accepted) | "
            text += "\(fallback(of: entry)) | \(entry.documentation) |\n"
        }
        return text
    }

    private static func fallback(of entry: ConfigEntry) -> String {
        if case .text(let text) = entry.fallback { "`\(text)`" } else { entry.fallback.shown }
    }
}
