/// Limits that more than one module must agree on. Each module keeps its own beside the code they bound.
public enum Limits {
    /// The largest original accepted, in bytes (100 MB; configurable downwards and upwards as `ingest.upload-bytes-max`).
    public static let uploadBytesMax = 100_000_000
    /// Bytes of an original carried by one message of an upload stream.
    public static let uploadMessageBytes = 65_536
    /// Files in one batch.
    public static let batchFilesMax = 50
    /// UTF-8 bytes of a file name, title, collection name or metadata value.
    public static let nameBytesMax = 1024
    /// Key-value pairs of metadata on a document.
    public static let metadataPairsMax = 64
    /// UTF-8 bytes of a search query or question.
    public static let queryBytesMax = 8192
    /// Hits in one search answer.
    public static let hitsMax = 100
}
