/// The text and structure of one document, as its parser found them. Untrusted: clean, but not yet sanitised or redacted.
public struct ExtractedContent: Sendable, Hashable {
    /// What it was parsed as.
    public var mediaType: MediaType
    /// Declared title, else the first heading of level 1 or 2 near the start; empty when there is neither.
    public var title = ""
    /// Encoding of its text as an IANA name; empty for formats that define their own.
    public var encoding = ""
    /// BCP 47 tag as declared; empty when unknown.
    public var language = ""
    public var parserName = ""
    public var parserVersion = ""
    /// Declared properties such as `author` or `created`, in document order.
    public var properties: [Property] = []
    /// Empty for formats without pages.
    public var pages: [Page] = []
    /// In reading order.
    public var blocks: [Block] = []
    public var drops: [Drop] = []
    /// Bytes of text in all blocks.
    public var textBytes = 0
    /// Characters that change the direction of text; a reason to look twice in a script that needs none.
    public var directionControls = 0

    public init(mediaType: MediaType) { self.mediaType = mediaType }

    public struct Property: Sendable, Hashable {
        public var key: String
        public var value: String

        public init(key: String, value: String) {
            self.key = key
            self.value = value
        }
    }

    public struct Page: Sendable, Hashable {
        /// From 1.
        public var number: Int
        /// In points; 0 where pages have no size.
        public var width: Float
        public var height: Float

        public init(number: Int, width: Float, height: Float) {
            self.number = number
            self.width = width
            self.height = height
        }
    }

    public struct Block: Sendable, Hashable {
        public enum Kind: Sendable, Hashable {
            /// 1 to 6.
            case heading(level: Int)
            case paragraph
            /// Depth from 1. Numbers of ordered lists are part of the text.
            case listItem(depth: Int)
            /// One line per row, cells joined by ` | `; so many of the first lines are its header.
            case table(headerRows: Int)
            case code(language: String)
            case quote
        }

        public var kind: Kind
        /// Never empty; at most 65,536 bytes; no control characters but tab and line feed.
        public var text: String
        /// From 1; 0 for formats without pages.
        public var page: Int
        /// Whether it goes on with the text of the block before, which was too long for one.
        public var continues: Bool

        public init(kind: Kind, text: String, page: Int = 0, continues: Bool = false) {
            self.kind = kind
            self.text = text
            self.page = page
            self.continues = continues
        }
    }

    /// Something of the original that did not become text.
    public struct Drop: Sendable, Hashable {
        public enum Reason: String, Sendable, Hashable {
            case boilerplate
            case activeContent = "active content"
            case hidden
            case imageWithoutText = "image without text"
            case blankPage = "blank page"
            case pageDamaged = "damaged page"
            case structureLimit = "structure over a limit"
        }

        public var reason: Reason
        /// From 1; 0 when it is not about one page.
        public var page: Int
        /// Where it was, in bytes of the document's text as UTF-8; empty when unknown.
        public var bytes: Range<UInt64>
        /// How many such things this stands for.
        public var count: Int

        public init(reason: Reason, page: Int, bytes: Range<UInt64>, count: Int) {
            self.reason = reason
            self.page = page
            self.bytes = bytes
            self.count = count
        }
    }
}
