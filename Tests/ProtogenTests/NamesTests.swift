import Testing

@testable import Protogen

@Suite struct NamesTests {
    @Test(arguments: [
        ("document_id", "documentID"), ("id", "id"), ("document_ids", "documentIDs"), ("image_url", "imageURL"),
        ("index_us", "indexUs"), ("sha256", "sha256"), ("JOB_CANCELLED", "jobCancelled"), ("GetAnswer", "getAnswer"),
        ("WhoAmI", "whoAmI"),
    ])
    func fieldsAndMethodsAreLowerCamel(_ proto: String, _ swift: String) {
        #expect(Names.lowerCamel(proto) == swift)
    }

    @Test(arguments: [
        ("JOB_STATE_UNSPECIFIED", "JobState", "unspecified"), ("JOB_CANCELLED", "JobState", "jobCancelled"),
        ("QUEUED", "JobState", "queued"), ("SIZE_2D", "Size", "size2d"), ("NOT_FOUND", "Verdict", "notFound"),
    ])
    func casesLoseTheNameOfTheirType(_ value: String, _ type: String, _ swift: String) {
        #expect(Names.enumCase(value, of: type) == swift)
    }

    @Test(arguments: [
        ("acp.v1.Hit", "acp.v1", "Hit"), ("acp.wire.v1.Hello", "acp.wire.v1", "WireHello"),
        ("acp.v1.Drop.Reason", "acp.v1", "Drop.Reason"), ("google.protobuf.Timestamp", "google.protobuf", "Timestamp"),
    ])
    func packagesBecomePrefixes(_ full: String, _ package: String, _ swift: String) {
        #expect(Names.type(full, package: package) == swift)
    }

    @Test func namesOfTheCSideAreThoseOfProtocC() {
        #expect(Names.cLower("acp.v1.WhoAmIRequest") == "acp__v1__who_am_irequest")
        #expect(Names.cLower("acp.v1.Hit.MetadataEntry") == "acp__v1__hit__metadata_entry")
        #expect(Names.cField("delete") == "delete_")
        #expect(Names.cField("in") == "in")
    }

    @Test(arguments: [
        ("/v1/jobs/{id}:watch", ["id"], "/v1/jobs/{}:watch"), ("/v1/documents:upload", [], "/v1/documents:upload"),
        ("/v1/a/{x.y}/b/{z_1}", ["x.y", "z_1"], "/v1/a/{}/b/{}"),
    ])
    func templatesAreParsed(_ text: String, _ variables: [String], _ shape: String) throws {
        let template = try #require(PathTemplate(text))
        #expect(template.variables == variables)
        #expect(template.shape == shape)
    }

    @Test(arguments: ["", "/", "v1", "/v1/{id", "/v1/id}", "/v1/{}", "/v1/x{id}", "/v1/{id=*}", "/v1/a?b", "/v1/{1}"])
    func brokenTemplatesAreRefused(_ text: String) {
        #expect(PathTemplate(text) == nil)
    }
}
