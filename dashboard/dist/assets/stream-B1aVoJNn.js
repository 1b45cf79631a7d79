import{p as e}from"./error-note-LBxraCqr.js";var t=15e3,n=4e4;function r(n,r,a=()=>{}){let o=new AbortController;return(async()=>{for(let s=1e3;!o.signal.aborted;s=Math.min(s*2,t)){try{let t=await e(`get`,n,{signal:o.signal});o.signal.aborted||a(!0),s=1e3,await i(t,r)}catch{}if(o.signal.aborted)return;a(!1),await new Promise(e=>setTimeout(e,s))}})(),()=>o.abort()}async function i(e,t){let n=e.body?.pipeThrough(new TextDecoderStream).getReader();if(!n)return;let r=``;for(;;){let{done:e,value:i}=await a(n);if(e)return;r+=i.replaceAll(`\r
`,`
`);for(let e=r.indexOf(`

`);e>=0;e=r.indexOf(`

`)){let n=r.slice(0,e).split(`
`);r=r.slice(e+2);let i=e=>n.filter(t=>t.startsWith(`${e}:`)).map(t=>t.slice(e.length+1).trimStart()),a=i(`data`).join(`
`);a!==``&&t({name:i(`event`)[0]??`message`,data:a})}}}async function a(e){let t,r=new Promise((e,r)=>{t=setTimeout(()=>r(Error(`silence`)),n)});try{return await Promise.race([e.read(),r])}catch(t){throw e.cancel().catch(()=>{}),t}finally{clearTimeout(t)}}export{r as t};