/* Draws the book's Plotly figures when they come near the view and lets go of them when they leave it:
   a browser keeps at most 16 WebGL drawings. Plotly itself is loaded only on pages that have a figure, and
   not where the page holds it already, as a run's report does. */
(() => {
  const here = document.currentScript.src;
  const NARROW = 620;

  const colours = () => document.documentElement.dataset.theme === "dark"
    ? {ink: "#d6d6d6", grid: "#505050", box: "#333333"}
    : {ink: "#222222", grid: "#d0d0d0", box: "#f4f4f4"};

  const look = () => {
    const {ink, grid, box} = colours();
    const axis = {gridcolor: grid, zerolinecolor: grid, linecolor: ink, tickcolor: ink};
    const space = {...axis, color: ink, backgroundcolor: "rgba(0,0,0,0)"};
    return {
      font: {color: ink}, xaxis: axis, yaxis: axis, scene: {xaxis: space, yaxis: space, zaxis: space},
      updatemenudefaults: {bgcolor: box, bordercolor: grid, font: {color: ink}},
      sliderdefaults: {bgcolor: grid, bordercolor: grid, activebgcolor: ink, currentvalue: {font: {color: ink}}},
      modebar: {bgcolor: "rgba(0,0,0,0)", color: grid, activecolor: ink},
    };
  };

  const plain = (value) => value && typeof value === "object" && !Array.isArray(value);
  const merge = (base, over) => {
    const result = {...base};
    for (const key in over) {
      result[key] = plain(over[key]) && plain(result[key]) ? merge(result[key], over[key]) : over[key];
    }
    return result;
  };

  // A title that is wider than its figure goes on in a second line.
  const pen = document.createElement("canvas").getContext("2d");
  const wrapped = (title, size, width) => {
    if (!title?.text || title.text.includes("<")) return title;
    pen.font = `${title.font?.size || size}px "Open Sans", verdana, arial, sans-serif`;
    let line = "", lines = [];
    for (const word of title.text.split(" ")) {
      if (line && pen.measureText(`${line} ${word}`).width > width) [lines, line] = [[...lines, line], word];
      else line = line ? `${line} ${word}` : word;
    }
    const pad = lines.length ? {t: 12 + 14 * lines.length} : {};  // Plotly pushes the first line up
    return {...title, text: [...lines, line].join("<br>"), pad: {...title.pad, ...pad}};
  };

  // A legend of several lines grows upwards: where it meets the title, the figure grows by as much.
  const settle = async (element) => {
    for (let tries = 0; tries < 3; tries++) {
      const title = element.querySelector(".g-gtitle")?.getBoundingClientRect();
      const legend = element.querySelector(".legend")?.getBoundingClientRect();
      const over = title?.height && legend ? Math.ceil(title.bottom + 6 - legend.top) : 0;
      if (over <= 0 || over > 200) return;
      const {height, margin} = element.layout;
      await Plotly.relayout(element, {height: height + over, "margin.t": margin.t + over});
    }
  };

  const draw = async (element) => {
    let {data, layout, frames, config} = element.figure;
    const narrow = element.clientWidth < NARROW;
    let shown = {...layout, template: merge(layout.template || {}, {layout: look()})};
    if (narrow) {
      shown = merge(shown, layout.meta?.narrow || {});
      // The buttons keep their width: the slider beside them begins further right.
      shown.sliders = shown.sliders?.map((slider) => slider.x ? {...slider, x: 0.36, len: 0.64} : slider);
    }
    // A menu that brings colours of its own gets the page's instead.
    const {ink, grid, box} = colours();
    const paged = {bgcolor: box, bordercolor: grid, font: {color: ink}};
    shown.updatemenus = shown.updatemenus?.map((menu) => menu.bgcolor ? merge(menu, paged) : menu);
    const base = shown.template.layout;
    shown = merge({height: base.height, margin: base.margin}, shown);
    const width = element.clientWidth - shown.margin.l - shown.margin.r;
    const titled = (part) => ({...part, title: wrapped(part.title, base.title.font.size, width)});
    frames = frames?.map((frame) => frame.layout?.title ? {...frame, layout: titled(frame.layout)} : frame);
    shown = titled(shown);
    for (const axis of Object.keys(shown).filter((key) => key.startsWith("xaxis"))) {
      const {text} = wrapped(shown[axis].title, 13, width) || {};
      if (text) shown[axis] = merge(shown[axis], {title: {text}});
    }
    element.narrow = narrow;
    element.style.minHeight = `${shown.height}px`;
    await Plotly.newPlot(element, {data, layout: shown, frames, config});
    await settle(element);
  };

  // Plotly's sliders and menus take no keys, and a screen reader does not find them. The same again as plain
  // controls, which show while they have the focus; Plotly's own follow them.
  const SHOWN = {"▶": "Play", "❚❚": "Pause"};
  const made = (name, properties, ...children) => {
    const node = Object.assign(document.createElement(name), properties);
    node.append(...children);
    return node;
  };
  const controls = (element) => {
    const {sliders = [], updatemenus = []} = element.figure.layout;
    const run = ({method, args}) => element.drawn && Plotly[method](element, ...args);
    const parts = updatemenus.flatMap(({buttons, type, active}, menu) => {
      if (type === "buttons") {
        return buttons.map((button) => made("button", {
          type: "button", textContent: SHOWN[button.label] || button.label, onclick: () => run(button),
        }));
      }
      const options = buttons.map((button, k) => made("option", {textContent: button.label, selected: k === (active || 0)}));
      const choose = async () => {
        await run(buttons[select.selectedIndex]);
        if (element.drawn) Plotly.relayout(element, {[`updatemenus[${menu}].active`]: select.selectedIndex});
      };
      const select = made("select", {onchange: choose}, ...options);
      return [made("label", {}, "Shown ", select)];
    });
    for (const {steps, active, currentvalue} of sliders) {
      const say = () => range.setAttribute("aria-valuetext", steps[range.value].label);
      const range = made("input", {
        type: "range", min: 0, max: steps.length - 1, value: active || 0,
        oninput: () => { say(); run(steps[range.value]); },
      });
      say();
      parts.push(made("label", {}, `${currentvalue?.prefix?.trim() || "Step"} `, range));
    }
    if (!parts.length) return;
    const group = made("div", {className: "plotly-keys"}, ...parts);
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", "Controls of the figure above");
    element.after(group);
  };

  const start = () => {
    document.head.append(made("style", {textContent: `
      .plotly-keys:not(:focus-within) {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);}
      .plotly-keys {display: flex; flex-wrap: wrap; gap: 0.6rem; align-items: center; font-size: 0.85rem;}
      .plotly-keys label {display: flex; gap: 0.4rem; align-items: center; margin: 0;}
    `}));
    const elements = [...document.querySelectorAll("div.plotly-fig")];
    for (const element of elements) {
      element.figure = JSON.parse(element.firstElementChild.textContent);
      controls(element);
    }
    const near = new IntersectionObserver((entries) => {
      for (const {target, isIntersecting} of entries) {
        if (isIntersecting && !target.drawn) draw(target);
        else if (!isIntersecting && target.drawn) Plotly.purge(target);
        target.drawn = isIntersecting;
      }
    }, {rootMargin: "300px"});
    // On paper every figure is near, and no wider than a sheet.
    const PAPER = "660px";
    let printed = [];
    window.addEventListener("beforeprint", () => {
      printed = elements.filter((e) => e.offsetParent);
      for (const element of printed) { element.style.width = PAPER; draw(element); }
    });
    window.addEventListener("afterprint", () => {
      for (const element of printed) { element.style.width = ""; element.drawn ? draw(element) : Plotly.purge(element); }
    });
    const redraw = (which) => elements.filter((e) => e.drawn && which(e)).forEach(draw);
    for (const element of elements) near.observe(element);
    new MutationObserver(() => redraw(() => true))
      .observe(document.documentElement, {attributeFilter: ["data-theme"]});
    window.addEventListener("resize", () => redraw((e) => (e.clientWidth < NARROW) !== e.narrow));
  };

  document.addEventListener("DOMContentLoaded", () => {
    if (!document.querySelector("div.plotly-fig")) return;
    if (window.Plotly) { start(); return; }
    const script = document.createElement("script");
    script.src = new URL("plotly.min.js", here).href;
    script.onload = start;
    document.head.append(script);
  });
})();
