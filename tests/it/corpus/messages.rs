//! Messages of every type, and statuses.

use super::{Case, value};

/// What can be answered: the members of a message beside its id, sender and time.
const QUESTIONS: &[&str] = &[
    r#""type":"text","text":{"body":"Does it come in another color?"}"#,
    r#""type":"text","text":{"body":"سلام، سفارش من کجاست؟"}"#,
    r#""type":"text","text":{"body":"\ud83d\ude00\ud83c\udff3\ufe0f\u200d\ud83c\udf08 ok \u00e4\u00f6\/"}"#,
    r#""type":"text","text":{"body":"line one\nline two\r\n\ttabs"}"#,
    r#""type":"text","text":{"body":"https://example.com/?a=1&b=2"}"#,
    r#""type":"text","text":{"body":"'); drop table messages; --"}"#,
    r#""type":"text","text":{"body":"<script>alert(1)</script>"}"#,
    r#""type":"text","text":{"body":"$1 %s {} ${HOME} \\"}"#,
    r#""type":"text","text":{"body":"I want to stop the delivery"}"#,
    r#""type":"text","context":{"from":"15550783881","id":"wamid.HBgL"},"text":{"body":"this one"}"#,
    r#""type":"text","context":{"forwarded":true},"text":{"body":"forwarded"}"#,
    r#""type":"text","context":{"frequently_forwarded":true},"text":{"body":"forwarded a lot"}"#,
    r#""type":"text","context":{"from":"1","id":"w","referred_product":{"catalog_id":"1","product_retailer_id":"di9"}},"text":{"body":"is it new?"}"#,
    r#""type":"text","referral":{"source_url":"https://fb.me/3cr4Wqqkv","source_id":"120226305854810726","source_type":"ad","headline":"Chat with us","body":"Succulents!","media_type":"image","image_url":"https://scontent.xx.fbcdn.net/x","ctwa_clid":"Aff-n8ZTODiE79d22KtAwQKj9e","welcome_message":{"text":"Hi there!"}},"text":{"body":"From an ad"}"#,
    r#""type":"text","referral":null,"context":null,"errors":null,"text":{"body":"nulls"}"#,
    r#""type":"text","text":{"body":"future members"},"tomorrow":{"a":[1,{"b":null}]}"#,
    r#""type":"text","identity":{"acknowledged":true,"created_timestamp":"1","hash":"x"},"text":{"body":"identity"}"#,
    r#""type":"button","context":{"from":"15550783881","id":"wamid.x"},"button":{"payload":"Unsubscribe-page","text":"More, please"}"#,
    r#""type":"button","button":{"payload":"only-a-payload"}"#,
    r#""type":"interactive","interactive":{"type":"button_reply","button_reply":{"id":"cancel-button","title":"Cancel"}}"#,
    r#""type":"interactive","interactive":{"type":"list_reply","list_reply":{"id":"priority_express","title":"Priority Mail Express","description":"Next Day to 2 Days"}}"#,
    r#""type":"interactive","interactive":{"type":"nfm_reply","nfm_reply":{"name":"flow","body":"Sent","response_json":"{\"flow_token\":\"t\",\"name\":\"Anna\"}"}}"#,
    r#""type":"interactive","interactive":{"type":"nfm_reply","nfm_reply":{"name":"address_message","body":"A St 1","response_json":"{\"saved_address_id\":\"a1\",\"values\":{\"in_pin_code\":\"400063\"}}"}}"#,
    r#""type":"interactive","interactive":{"type":"nfm_reply","nfm_reply":{"body":"Sent","response_json":"no JSON"}}"#,
    r#""type":"image","image":{"caption":"The best succulent ever?","mime_type":"image/jpeg","sha256":"SfInY0gGKTsJlUWbwxC1k+FAD0FZHvzwfpvO0zX0GUI=","id":"1003383421387256","url":"https://lookaside.fbsbx.com/x"}"#,
    r#""type":"image","image":{"mime_type":"image/jpeg","sha256":"x","id":"1"}"#,
    r#""type":"video","video":{"caption":"Look","mime_type":"video/mp4","sha256":"x","id":"2"}"#,
    r#""type":"video","video":{"mime_type":"video/mp4","sha256":"x","id":"2"}"#,
    r#""type":"audio","audio":{"mime_type":"audio/ogg; codecs=opus","sha256":"x","id":"3","voice":true}"#,
    r#""type":"audio","audio":{"mime_type":"audio/mpeg","sha256":"x","id":"3","voice":false}"#,
    r#""type":"sticker","sticker":{"mime_type":"image/webp","sha256":"x","id":"4","animated":true}"#,
    r#""type":"document","document":{"caption":"My bill","filename":"bill.pdf","mime_type":"application/pdf","sha256":"x","id":"5"}"#,
    r#""type":"document","document":{"filename":"../../etc/passwd","mime_type":"application/pdf","id":"5"}"#,
    r#""type":"document","document":{"id":"5"}"#,
    r#""type":"image","image":{}"#,
    r#""type":"image","errors":[{"code":131052,"title":"Media download error"}],"image":{"id":"6"}"#,
    r#""type":"location","location":{"address":"1071 5th Ave, New York","latitude":40.782910059774,"longitude":-73.959075808525,"name":"Solomon R. Guggenheim Museum","url":"https://x.y"}"#,
    r#""type":"location","location":{"latitude":"40.7","longitude":"-73.9"}"#,
    r#""type":"contacts","contacts":[{"name":{"first_name":"Barbara","last_name":"Johnson","formatted_name":"Barbara J. Johnson"},"phones":[{"phone":"+1 (650) 555-1234","type":"MOBILE","wa_id":"16505551234"}],"emails":[{"email":"b@x.y","type":"Work"}],"addresses":[{"city":"Menlo Park","country_code":"us"}],"org":{"company":"Social"},"urls":[{"url":"https://x.y"}],"birthday":"1999-01-23"}]"#,
    r#""type":"contacts","contacts":[{"phones":[{"phone":"+1 650"}]}]"#,
    r#""type":"contacts","contacts":[{"origin":"contact_request","name":{"formatted_name":"Me"},"phones":[{"phone":"+1 650","wa_id":"1650"}],"vcard":"BEGIN:VCARD"}]"#,
    r#""type":"contacts","contacts":[{},{}]"#,
    r#""type":"order","order":{"catalog_id":"194836987003835","text":"Love these!","product_items":[{"product_retailer_id":"di9ozbzfi4","quantity":2,"item_price":30,"currency":"USD"}]}"#,
    r#""type":"order","order":{"catalog_id":"1","product_items":[{"product_retailer_id":"x"}]}"#,
];

/// What cannot, or must not, be answered.
const SILENT: &[&str] = &[
    r#""type":"text","text":{"body":""}"#,
    r#""type":"text","text":{"body":"   "}"#,
    r#""type":"text","text":{}"#,
    r#""type":"text""#,
    r#""type":"text","text":"a bare string"#,
    r#""type":"text","text":{"body":{"not":"text"}}"#,
    r#""type":"TEXT","text":{"body":"in capitals"}"#,
    r#""type":null,"text":{"body":"no type"}"#,
    r#""text":{"body":"type is absent"}"#,
    r#""type":"text","group_id":"HBgL","text":{"body":"in a group"}"#,
    r#""type":"text","text":{"body":"STOP"}"#,
    r#""type":"text","text":{"body":"baja"}"#,
    r#""type":"text","text":{"body":"لغو"}"#,
    r#""type":"text","text":{"body":"Human"}"#,
    r#""type":"text","text":{"body":"agente"}"#,
    r#""type":"button","button":{"payload":"x","text":"Unsubscribe"}"#,
    r#""type":"button","button":{}"#,
    r#""type":"interactive","interactive":{"type":"call_permission_reply","call_permission_reply":{"response":"accept","expiration_timestamp":1745341987,"response_source":"user_action"}}"#,
    r#""type":"interactive","interactive":{"type":"tomorrows_reply","tomorrows_reply":{"id":"1"}}"#,
    r#""type":"interactive","interactive":{}"#,
    r#""type":"contacts","contacts":[]"#,
    r#""type":"contacts","contacts":{}"#,
    r#""type":"order","order":{}"#,
    r#""type":"reaction","reaction":{"message_id":"wamid.x","emoji":"\ud83d\udc4d"}"#,
    r#""type":"reaction","reaction":{"message_id":"wamid.x"}"#,
    r#""type":"reaction","reaction":{"message_id":"wamid.x","emoji":""}"#,
    r#""type":"edit","edit":{"original_message_id":"wamid.x","message":{"type":"text","context":{"id":"w"},"text":{"body":"better"}}}"#,
    r#""type":"edit","edit":{"original_message_id":"w","message":{"type":"edit","edit":{"message":{"type":"edit"}}}}"#,
    r#""type":"revoke","revoke":{"original_message_id":"wamid.x"}"#,
    r#""type":"system","system":{"body":"User A changed from $FROM to 1$FROM","type":"user_changed_number","wa_id":"1$FROM"}"#,
    r#""type":"system","system":{"body":"A changed from $FROM to 2$FROM","new_wa_id":"2$FROM","type":"customer_changed_number","customer":"$FROM"}"#,
    r#""type":"system","system":{"type":"user_changed_user_id","user_id":"US.new$FROM","previous_user_id":"$USER"}"#,
    r#""type":"system","system":{"body":"User @a changed from $USER to US.2$FROM","type":"user_changed_user_id"}"#,
    r#""type":"system","system":{"type":"customer_identity_changed","identity":"x","customer":"1"}"#,
    r#""type":"system","system":{"type":"user_changed_number"}"#,
    r#""type":"system","system":{}"#,
    r#""type":"system""#,
    r#""type":"media_placeholder""#,
    r#""type":"request_welcome""#,
    r#""type":"ephemeral","errors":[{"code":131051}]"#,
    r#""type":"unknown","errors":[{"code":131051,"title":"Message type unknown","message":"Message type unknown","error_data":{"details":"Message type is currently not supported."}}]"#,
    r#""type":"hologram","hologram":{"id":"1"}"#,
];

const UNSUPPORTED: [&str; 20] = [
    "button",
    "edit",
    "errors",
    "gif",
    "group_invite",
    "hsm",
    "image",
    "interactive",
    "keep_in_chat",
    "link_preview",
    "list",
    "location",
    "media_placeholder",
    "order",
    "pin",
    "poll_creation",
    "poll_update",
    "product",
    "reaction",
    "tomorrows",
];

const STATUSES: &[&str] = &[
    r#""status":"sent","recipient_id":"$FROM","conversation":{"id":"c","expiration_timestamp":"1750116480","origin":{"type":"service"}},"pricing":{"billable":true,"pricing_model":"CBP","category":"service"}"#,
    r#""status":"sent","recipient_id":"$FROM","pricing":{"billable":false,"pricing_model":"PMP","type":"free_customer_service","category":"service"}"#,
    r#""status":"delivered","recipient_id":"$FROM","recipient_user_id":"$USER""#,
    r#""status":"read","recipient_user_id":"$USER","recipient_parent_user_id":"US.ENT.1""#,
    r#""status":"played","recipient_id":"$FROM""#,
    r#""status":"failed","recipient_id":"$FROM","errors":[{"code":131050,"title":"x","message":"x","error_data":{"details":"d"},"href":"https://x"}]"#,
    r#""status":"failed","errors":[]"#,
    r#""status":"failed","errors":[{"code":"131026"}]"#,
    r#""status":"deleted""#,
    r#""status":"warning""#,
    r#""status":"queued""#,
    r#""status":7"#,
    r#""status":"read","recipient_type":"group","recipient_id":"G","recipient_participant_id":"1","recipient_participant_user_id":"US.1""#,
    r#""status":"sent","biz_opaque_callback_data":"no id of ours""#,
    r#""status":"sent","biz_opaque_callback_data":"019b0000-0000-7000-8000-000000000000""#,
    r#""status":"sent","pricing":null,"conversation":null,"errors":null"#,
];

fn message(name: &str, answers: usize, more: &str) -> Case {
    let contact = r#"{"profile":{"name":"Anna","username":"anna"},"wa_id":"$FROM","user_id":"$USER"}"#;
    let message =
        format!(r#"{{"from":"$FROM","from_user_id":"$USER","id":"$ID","timestamp":"$NOW",{more}}}"#);
    Case::change(
        name,
        answers,
        "$WABA",
        "messages",
        &value(&format!(r#""contacts":[{contact}],"messages":[{message}]"#)),
    )
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = QUESTIONS.iter().map(|more| message(more, 1, more)).collect();
    cases.extend(SILENT.iter().map(|more| message(more, 0, more)));
    for kind in UNSUPPORTED {
        let more =
            format!(r#""type":"unsupported","unsupported":{{"type":"{kind}"}},"errors":[{{"code":131051}}]"#);
        cases.push(message(kind, 0, &more));
    }
    for more in STATUSES {
        let status = value(&format!(r#""statuses":[{{"id":"$ID","timestamp":"$NOW",{more}}}]"#));
        cases.push(Case::change(more, 0, "$WABA", "messages", &status));
    }
    cases
}
