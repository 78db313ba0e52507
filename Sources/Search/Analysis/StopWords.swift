/// English words that carry no topic: Snowball's list, its contractions, and the question and filler words of long stop lists.
///
/// They are indexed, for phrases and for queries that consist of nothing else, and otherwise neither searched nor counted in lengths.
enum StopWords {
    /// Whether a folded word is a stop word.
    @inline(__always)
    static func contains(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
        guard word.count <= 16 else { return false }
        return keys.contains(key(word))
    }

    /// Abbreviations that look like stop words and are none when written in capitals: IT, US, WHO.
    @inline(__always)
    static func isAcronym(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
        word.count <= 3 && acronyms.contains(key(word))
    }

    /// Words of up to 16 bytes as one integer: cheaper to hash than a string.
    @inline(__always)
    private static func key(_ word: UnsafeBufferPointer<UInt8>) -> UInt128 {
        var key: UInt128 = 0
        for byte in word { key = key << 8 | UInt128(byte) }
        return key
    }

    private static func keySet(_ words: StaticString) -> Set<UInt128> {
        let bytes = UnsafeBufferPointer(start: words.utf8Start, count: words.utf8CodeUnitCount)
        return Set(
            bytes.split(whereSeparator: { $0 == 0x20 || $0 == 0x0A }).map { key(UnsafeBufferPointer(rebasing: $0)) })
    }

    private static let acronyms = keySet("it us who")

    private static let keys = keySet(
        """
        a about above across actually after afterwards again against ago all almost alone along already also
        although always am among amongst an and another any anybody anyhow anyone anything anyway anyways
        anywhere are aren't around as aside at away be became because become becomes becoming been before
        beforehand behind being below beside besides between beyond both but by came can can't cannot cant come
        comes could couldn't did didn't do does doesn't doing don't done down downwards during each eg either
        else elsewhere enough especially etc even ever every everybody everyone everything everywhere ex exactly
        except few for former formerly from further furthermore gave get gets getting give gives giving go goes
        going gone got gotten had hadn't happens hardly has hasn't have haven't having he he'd he'll he's hence
        her here here's hereafter hereby herein hereupon hers herself him himself his hither how how's howbeit
        however i i'd i'll i'm i've ie if in inasmuch indeed insofar instead into is isn't it it'd it'll it's
        its itself just knew know knows lately later latter latterly least less lest let let's like liked look
        looking looks ltd mainly make makes making many may maybe me mean means meanwhile merely might more
        moreover most mostly much must mustn't my myself namely nearly need needs neither never nevertheless no
        nobody non none nonetheless noone nor normally not nothing now nowhere obviously of off often oh ok okay
        on once one ones only onto or other others otherwise ought our ours ourselves out over own particularly
        per perhaps please possible presumably probably put quite rather re really reasonably regarding
        regardless regards relatively respectively said same saw say saying says see seeing seem seemed seeming
        seems seen sent several shall shan't she she'd she'll she's should shouldn't since so some somebody
        somehow someone something sometime sometimes somewhat somewhere soon still such sure t's take takes
        taking tell tends than thanks that that's the their theirs them themselves then thence there there's
        thereafter thereby therefore therein theres thereupon these they they'd they'll they're they've think
        this thorough thoroughly those though through throughout thru thus to together too took toward towards
        tried tries truly try trying under unfortunately unless unlike unlikely until unto up upon us use used
        useful uses using usually various very via vs want wants was wasn't way we we'd we'll we're we've well
        went were weren't what what's whatever when when's whence whenever where where's whereafter whereas
        whereby wherein whereupon wherever whether which while whither who who's whoever whom whose why why's
        will wish with within without won't wonder would wouldn't yes yet you you'd you'll you're you've your
        yours yourself yourselves
        """)
}
