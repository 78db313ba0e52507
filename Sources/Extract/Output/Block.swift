internal import CACPProtos

/// A piece of text with one role, before it is cleaned and framed.
struct Block {
    enum Kind {
        case heading(level: Int)
        case paragraph
        /// Depth from 1.
        case listItem(depth: Int)
        case table(headerRows: Int)
        case code(language: String)
        case quote
    }

    var kind: Kind
    /// UTF-8.
    var text: [UInt8]
    /// From 1; 0 without pages.
    var page = 0
}

/// Something of the original that does not become text.
struct Drop {
    enum Reason {
        case boilerplate, activeContent, hidden, imageWithoutText, blankPage, pageDamaged, structureLimit
    }

    var reason: Reason
    var page = 0
    var bytes: Range<Int> = 0..<0
    var count = 1
}

/// What a document declares about itself.
struct DocumentHead {
    var title = ""
    var encoding = ""
    var language = ""
    var pageCount = 0
    private(set) var properties: [(key: String, value: String)] = []

    static let propertiesMax = 64
    static let valueBytesMax = 1024

    /// Keeps the first value of a key; what does not fit the limits is left out.
    mutating func add(_ key: String, _ value: String) {
        let value = TextCleaner.line(value, bytesMax: Self.valueBytesMax)
        guard !value.isEmpty, !key.isEmpty, key.utf8.count <= 64, properties.count < Self.propertiesMax,
            !properties.contains(where: { $0.key == key })
        else { return }
        properties.append((key, value))
    }
}

extension Drop.Reason {
    var message: Acp__V1__ExtractedDropReason {
        switch self {
        case .boilerplate: ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_BOILERPLATE
        case .activeContent: ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_ACTIVE_CONTENT
        case .hidden: ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_HIDDEN
        case .imageWithoutText: ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_IMAGE_WITHOUT_TEXT
        case .blankPage: ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_BLANK_PAGE
        case .pageDamaged: ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_PAGE_DAMAGED
        case .structureLimit: ACP__V1__EXTRACTED_DROP_REASON__EXTRACTED_DROP_REASON_STRUCTURE_LIMIT
        }
    }
}
