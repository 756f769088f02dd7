// The report around the bar: ranking, and files of the whole scan.

function connect(root, viewer) {
  const bar = connectToolbar(root, viewer, { "[": () => stepRank(-1), "]": () => stepRank(1) });
  const { one, complain } = bar;

  async function setRank(input) {
    complain(null);
    for (const facts of document.querySelectorAll("[data-mv-facts]")) facts.hidden = facts.dataset.mvFacts !== input.value;
    try {
      await viewer.setOutcome(Number(input.value), input.dataset.named);
      bar.allow();
    } catch (error) {
      complain(error);
    }
  }
  const ranks = [...document.querySelectorAll("input[name=mv-rank]")];
  for (const input of ranks) input.addEventListener("change", () => input.checked && setRank(input));
  for (const button of document.querySelectorAll("[data-mv-go]")) {
    button.addEventListener("click", () => {
      const input = ranks.find((candidate) => candidate.value === button.dataset.mvGo);
      input.checked = true;
      setRank(input);
      root.scrollIntoView({ block: "start" });
      input.focus({ preventScroll: true });
    });
  }
  const stepRank = (by) => {
    const input = ranks[ranks.findIndex((candidate) => candidate.checked) + by];
    if (!input) return;
    input.checked = true;
    setRank(input);
  };

  one("files").addEventListener("change", async (event) => {
    complain(null);
    try {
      const study = await studyOfFiles([...event.target.files]);
      viewer.setStudy(study);
      one("source").textContent = `Whole volumes from ${[...event.target.files].map((file) => file.name).join(", ")}; they were read here and sent nowhere.`;
      open();
    } catch (error) {
      complain(error);
    }
    event.target.value = "";
  });

  const open = () => {
    root.dataset.state = "open";
    const input = ranks.find((candidate) => candidate.checked) || ranks[0];
    if (!input) return Promise.resolve();
    input.checked = true;
    return setRank(input);
  };
  return { open, complain };
}

async function begin() {
  const root = document.getElementById("viewer");
  const header = JSON.parse(document.getElementById("viewer-header").textContent);
  const viewer = new Viewer(root, header);
  const { open, complain } = connect(root, viewer);
  try {
    if (typeof DecompressionStream === "undefined") {
      throw new Error("This browser cannot unpack the volumes (it lacks DecompressionStream): Chrome or Edge 80, Firefox 113, Safari 16.4 or newer can. The pictures further down are there all the same.");
    }
    if (header.before) {
      viewer.setStudy(await packedStudy(header));
      await open();
    } else root.dataset.state = "empty";
  } catch (error) {
    root.dataset.state = "failed";
    complain(error);
  }
}

// folded lists are printed unfolded
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("main details:not([open])")) {
    one.open = true;
    one.dataset.printed = "";
  }
});
addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-printed]")) {
    one.open = false;
    delete one.dataset.printed;
  }
});
begin();
