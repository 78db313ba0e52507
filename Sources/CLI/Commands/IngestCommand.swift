internal import ArgumentParser

struct IngestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingest", abstract: "Add documents, follow their processing, list and delete them.",
        discussion: """
            Example:
              acp ingest upload docs/ --collection handbook
            """,
        subcommands: [
            IngestUpload.self, IngestPaste.self, IngestJobs.self, IngestStatus.self, IngestDocuments.self,
            IngestDelete.self,
        ])
}
